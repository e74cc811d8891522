/**
 * Whether a request is for this machine, by its own names (`localhost`, 127.0.0.0/8, `::1`) or others
 * that it has. A page of another site could otherwise ask for a name of its own that leads here, and
 * would be shown what there is (DNS rebinding). Who sends no `Host` is no browser.
 */
export function isMeant(host: string | undefined, names: readonly string[]): boolean {
  if (host === undefined) return true;
  const name = host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
  return loopback.test(name) || names.some((own) => own.toLowerCase() === name);
}

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
