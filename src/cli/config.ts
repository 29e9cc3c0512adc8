import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseSetting } from '../config.ts';
import { optional, type Setting } from '../settings.ts';
import { anyText, httpUrl } from '../core/settingParsers.ts';

/** What the commands that talk to a service take from the environment. */
export const commandLineSettings = {
  BELFRY_URL: optional(
    httpUrl,
    'Where the service is; otherwise that of `belfry login`, or http://127.0.0.1:5000.',
  ),
  BELFRY_TOKEN: optional(anyText, 'Sent as a bearer token; otherwise that of `belfry login`.', {
    secret: true,
  }),
  XDG_CONFIG_HOME: optional(
    anyText,
    'In its folder `belfry`, `belfry login` keeps tokens; otherwise in `~/.config/belfry`.',
  ),
  NO_COLOR: optional(anyText, 'Anything but empty: no colours.'),
} as const satisfies Readonly<Record<string, Setting<unknown>>>;

export interface CommandLineConfig {
  readonly url: string | undefined;
  readonly token: string | undefined;
  readonly noColor: boolean;
  readonly credentialsPath: string;
}

/** @throws SettingError for the first that is not what it takes. */
export function readCommandLineConfig(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): CommandLineConfig {
  // Set but empty is as good as not set.
  const given = Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, value === '' ? undefined : value]),
  );
  const text = (name: keyof typeof commandLineSettings) => {
    const value = parseSetting(name, commandLineSettings[name], 'serve', given);
    return typeof value === 'string' ? value : undefined;
  };
  return {
    url: text('BELFRY_URL'),
    token: text('BELFRY_TOKEN'),
    noColor: text('NO_COLOR') !== undefined,
    credentialsPath: join(
      text('XDG_CONFIG_HOME') ?? join(homedir(), '.config'),
      'belfry',
      'credentials.json',
    ),
  };
}
