import { SettingError, type Config } from '../config.ts';

/**
 * Whether nobody is asked for a token, as yet.
 * @throws SettingError where that would be open to other machines, and nobody has said that it may.
 */
export async function checkProtection(
  config: Config,
  isInitialised: () => Promise<boolean>,
): Promise<boolean> {
  const { auth, host, isLoopback } = config.api;
  const isOpen = auth === 'off' || (auth === 'auto' && !(await isInitialised()));
  if (config.roles.includes('api') && auth === 'auto' && isOpen && !isLoopback) {
    throw new SettingError(
      `HOST=${host} is not a loopback address, and nobody has a token yet: give the first one with "belfry admin init", or set AUTH (to on: everybody needs a token; to off: nobody does, which is for networks where all may do everything)`,
    );
  }
  return isOpen;
}
