#!/usr/bin/env node
import { version } from '../core/version.ts';
import { SettingError } from '../config.ts';
import { migrateCommand } from './migrate.ts';
import { runService } from './run.ts';

const usage = `belfry ${version}: calls a URL at the time you say

  belfry dev        try it on this machine: embedded PostgreSQL, loopback only
  belfry serve      production: strict defaults, settings from the environment
  belfry migrate    bring the database schema up to date
  belfry help       this page

Settings come from the environment; docs/settings.md lists them.`;

const commands: Readonly<Record<string, () => Promise<void> | void>> = {
  dev: () => runService('dev'),
  serve: () => runService('serve'),
  migrate: migrateCommand,
  help: () => console.log(usage),
  '--help': () => console.log(usage),
  '--version': () => console.log(version),
};

const [name = 'help', ...rest] = process.argv.slice(2);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
if (command === undefined || rest.length > 0) {
  console.error(`belfry: unknown command "${[name, ...rest].join(' ')}"\n\n${usage}`);
  process.exitCode = 2;
} else {
  try {
    await command();
  } catch (err) {
    const isSetting = err instanceof SettingError;
    console.error(`belfry: ${err instanceof Error ? err.message : String(err)}`);
    process.exitCode = isSetting ? 2 : 1;
  }
}
