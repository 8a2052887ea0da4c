import type { ApiRequest } from '#client/transport.ts';
import type { Peer } from './peer.ts';

/**
 * Node joins headers of the same name by commas. Of those that say who somebody is, each value counts by itself: a group
 * may have a comma in its name. Other requests keep their headers as they are.
 */
export function withRepeatedHeaders(
  headers: ApiRequest['headers'],
  raw: readonly string[],
  peer: Peer,
): ApiRequest['headers'] {
  if (headers['impersonate-user'] === undefined && !peer.proxyCertificate) return headers;
  const values = new Map<string, string[]>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] ?? '').toLowerCase();
    const known = values.get(name);
    if (known) known.push(raw[at + 1] ?? '');
    else values.set(name, [raw[at + 1] ?? '']);
  }
  const apart: Record<string, string | readonly string[] | undefined> = { ...headers };
  for (const [name, all] of values) if (all.length > 1) apart[name] = all;
  return apart;
}
