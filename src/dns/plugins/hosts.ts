import { formatIp, parseIp } from '#base/ip.ts';
import { durationMs, argCount, only, wholeNumber, wrong, zoneName, zoneOf } from '../corefile.ts';
import { addressRecord, failure, nameRecord, recordType, responseCode, type Answer, type Record } from '../message.ts';
import type { Plugin } from '../plugin.ts';
import { addressFromReverse } from '../reverse.ts';

/** Upstream's TTL. */
const ttlSecondsDefault = 3600;

/** `hosts [FILE [ZONES…]] { … }`: names out of lines like those of /etc/hosts. */
export const hosts: Plugin = (directives, scope) => {
  const directive = only(directives);
  const [file, ...named] = directive.args;
  const zones = named.length > 0 ? named.map(zone => zoneName(directive, zone)) : scope.zones;
  const lines = file === undefined ? scope.readFile(directive, '/etc/hosts').split('\n') : [];
  if (file !== undefined) lines.push(...scope.readFile(directive, file).split('\n'));
  let ttlSeconds = ttlSecondsDefault;
  let reverse = true;
  let fallthrough: readonly string[] = [];
  for (const property of directive.block) {
    const { name, args } = property;
    if (name === 'ttl') {
      argCount(property, 1);
      ttlSeconds = wholeNumber(property, args[0], 1, 65_535);
    } else if (name === 'no_reverse') {
      argCount(property, 0);
      reverse = false;
    } else if (name === 'reload') {
      // Files are keys of the ConfigMap: another text is another configuration.
      argCount(property, 1);
      durationMs(property, args[0]);
    } else if (name === 'fallthrough') {
      fallthrough = args.length > 0 ? args.map(arg => zoneName(property, arg)) : [''];
    } else if (parseIp(name)) {
      lines.push([name, ...args].join(' '));
    } else throw wrong(property, `unknown property ${JSON.stringify(name)}`);
  }
  const { addresses, names } = tables(lines);
  return (next, { metrics }) => {
    metrics?.hostsEntries.set([...addresses.values()].reduce((sum, each) => sum + each.length, 0));
    return (query, client) => {
      const { name, type } = query;
      if (zoneOf(name, zones) === undefined) return next(query, client);
      if (type === recordType.PTR && reverse) {
        const targets = names.get(addressFromReverse(name) ?? '');
        return targets
          ? answer(targets.map(target => nameRecord(recordType.PTR, target, ttlSeconds)))
          : next(query, client);
      }
      const ips = addresses.get(name);
      if (ips) return answer(ips.map(ip => addressRecord(ip, ttlSeconds)).filter(record => record.type === type));
      // Without a SOA there is nothing to deny with, as upstream has it.
      return zoneOf(name, fallthrough) === undefined ? failure(responseCode.SERVFAIL) : next(query, client);
    };
  };
};

function answer(answers: readonly Record[]): Answer {
  return { kind: 'records', code: 0, authoritative: true, answers, authority: [], additional: [] };
}

function tables(lines: readonly string[]) {
  const addresses = new Map<string, string[]>();
  const names = new Map<string, string[]>();
  const put = (table: Map<string, string[]>, key: string, value: string) => {
    const list = table.get(key) ?? [];
    if (!list.includes(value)) list.push(value);
    table.set(key, list);
  };
  for (const line of lines) {
    const [first = '', ...rest] = (line.split('#')[0] ?? '').trim().split(/\s+/);
    const address = parseIp(first);
    if (!address) continue;
    const ip = formatIp(address);
    for (const each of rest) {
      const name = each.toLowerCase().replace(/\.$/, '');
      if (name === '' || name.length > 253 || name.split('.').some(label => label === '' || label.length > 63))
        continue;
      put(addresses, name, ip);
      put(names, ip, name);
    }
  }
  return { addresses, names };
}
