import { argCount, only, wholeNumber, wrong, zoneName, zoneOf, type Directive } from '../corefile.ts';
import {
  changeRecord,
  detachedRecords,
  failure,
  ownerOf,
  questionOf,
  recordType,
  responseCode,
  type Answer,
  type Lasting,
  type Record,
} from '../message.ts';
import { then, type Client, type Handler, type Plugin } from '../plugin.ts';
import { ClusterRecords, type ClusterRecordsOptions, type Found } from '../records.ts';

/** An ExternalName may name another one; so far and no further. */
const aliasesMax = 8;

interface Settings extends Omit<ClusterRecordsOptions, 'informers' | 'zone' | 'address'> {
  /** The cluster's zones, the first one in answers to PTR. */
  readonly zones: readonly string[];
  readonly reverseZones: readonly string[];
  /** What is not there in these is asked for behind us. */
  readonly fallthrough: readonly string[];
}

/** `kubernetes [ZONES…] { … }`: answers the cluster's own names; all others go on. */
export const kubernetes: Plugin = (directives, { zones }) => {
  const settings = settingsOf(only(directives), zones);
  return (next, { informers, address, lifetime, readiness, synced }) => {
    const zonesWithRecords = settings.zones.map(zone =>
      lifetime.own(new ClusterRecords({ ...settings, informers, zone, address })),
    );
    const [primary] = zonesWithRecords;
    if (!primary) return next;
    readiness.set('kubernetes', () => primary.hasSynced);
    // Whoever does not wait learns it from the answers.
    primary.synced.catch(() => undefined);
    synced.push(primary.synced);
    const lastingAt = new Map(zonesWithRecords.map(records => [records, lastingOf(records)]));
    return (query, client) => {
      const { name, type } = query;
      let records = primary;
      let found = primary.lookup(name, type);
      for (let place = 1; found === undefined && place < zonesWithRecords.length; place++) {
        records = zonesWithRecords[place] as ClusterRecords;
        found = records.lookup(name, type);
      }
      if (!found && name.endsWith('.arpa') && zoneOf(name, settings.reverseZones) !== undefined) {
        records = primary;
        found = primary.reverse(name, type) ?? { kind: 'nxdomain' };
      }
      if (!found) return next(query, client);
      if (found.kind === 'nxdomain' && records.hasSynced && settings.fallthrough.length > 0)
        if (zoneOf(name, settings.fallthrough) !== undefined) return next(query, client);
      // Before all is known nothing may be denied.
      if (!records.hasSynced) return failure(responseCode.SERVFAIL);
      if (type === recordType.AXFR) return failure(responseCode.REFUSED);
      if (found.kind !== 'alias') return answerOf(found, records, lastingAt.get(records)?.());
      const { alias, target } = found;
      return then(follow(target, type, zonesWithRecords, next, client, aliasesMax), behind =>
        answer([alias, ...behind], []),
      );
    };
  };
};

/** Zones of a `kubernetes` line that are the cluster's, without those for addresses. */
export function clusterZonesOf(directives: readonly Directive[], zones: readonly string[]): readonly string[] {
  return directives.flatMap(directive => settingsOf(directive, zones).zones);
}

function settingsOf(directive: Directive, serverZones: readonly string[]): Settings {
  const named = directive.args.length > 0 ? directive.args.map(arg => zoneName(directive, arg)) : serverZones;
  const zones = named.filter(zone => !isReverse(zone) && zone !== '');
  if (zones.length === 0) throw wrong(directive, 'a zone is needed: cluster.local');
  let ttlSeconds = 5;
  let pods: Settings['pods'] = 'disabled';
  let [endpointPodNames, noEndpoints, ignoreEmptyService] = [false, false, false];
  let fallthrough: readonly string[] = [];
  let namespaces: ReadonlySet<string> | undefined;
  let labelSelector: string | undefined;
  for (const property of directive.block) {
    const { name, args } = property;
    switch (name) {
      case 'ttl':
        argCount(property, 1);
        ttlSeconds = wholeNumber(property, args[0], 0, 3600);
        break;
      case 'pods': {
        argCount(property, 1);
        const mode = (['disabled', 'insecure', 'verified'] as const).find(each => each === args[0]);
        if (!mode) throw wrong(property, 'wrong value for pods: disabled, insecure or verified');
        pods = mode;
        break;
      }
      case 'endpoint_pod_names':
        argCount(property, 0);
        endpointPodNames = true;
        break;
      case 'noendpoints':
        argCount(property, 0);
        noEndpoints = true;
        break;
      case 'ignore':
        if (args[0] !== 'empty_service') throw wrong(property, 'what can be ignored is empty_service');
        ignoreEmptyService = true;
        break;
      case 'fallthrough':
        fallthrough = args.length > 0 ? args.map(arg => zoneName(property, arg)) : [''];
        break;
      case 'namespaces':
        if (args.length === 0) throw wrong(property, 'wrong argument count or unexpected line ending');
        namespaces = new Set(args);
        break;
      case 'labels':
        if (args.length === 0) throw wrong(property, 'wrong argument count or unexpected line ending');
        labelSelector = args.join(' ');
        break;
      default:
        throw wrong(property, `the property ${JSON.stringify(name)} is not served: the cluster is this one`);
    }
  }
  return {
    zones,
    reverseZones: named.filter(zone => isReverse(zone) || zone === ''),
    ttlSeconds,
    pods,
    endpointPodNames,
    noEndpoints,
    ignoreEmptyService,
    fallthrough,
    ...(namespaces && { namespaces }),
    ...(labelSelector !== undefined && { labelSelector }),
  };
}

function isReverse(zone: string): boolean {
  return zone === 'in-addr.arpa' || zone === 'ip6.arpa' || /\.(in-addr|ip6)\.arpa$/.test(zone);
}

/** One object for all answers between two changes. */
function lastingOf(records: ClusterRecords): () => Lasting {
  let version = -1;
  let lasting: Lasting = { isCurrent: () => false };
  return () => {
    if (version === records.version) return lasting;
    const now = records.version;
    version = now;
    lasting = { isCurrent: () => records.version === now };
    return lasting;
  };
}

function answerOf(found: Exclude<Found, { kind: 'alias' }>, records: ClusterRecords, lasting?: Lasting): Answer {
  switch (found.kind) {
    case 'answer':
      return answer(found.answers, found.additional, lasting);
    case 'nodata':
      return denial(responseCode.NOERROR, records, lasting);
    case 'nxdomain':
      return denial(responseCode.NXDOMAIN, records, lasting);
  }
}

function answer(answers: readonly Record[], additional: readonly Record[], lasting?: Lasting): Answer {
  const code = responseCode.NOERROR;
  return { kind: 'records', code, authoritative: true, answers, authority: [], additional, lasting };
}

function denial(code: number, records: ClusterRecords, lasting?: Lasting): Answer {
  const authority = [records.authority];
  return { kind: 'records', code, authoritative: true, answers: [], authority, additional: [], lasting };
}

/** The records that an alias' target has: the cluster's, or those of the world outside. */
function follow(
  target: string,
  type: number,
  zones: readonly ClusterRecords[],
  next: Handler,
  client: Client,
  left: number,
): readonly Record[] | Promise<readonly Record[]> {
  if (left === 0 || (type !== recordType.A && type !== recordType.AAAA)) return [];
  let found: Found | undefined;
  for (const records of zones) found ??= records.lookup(target, type);
  if (!found) return then(next(questionOf(target, type), client), behind => recordsOf(behind, target));
  if (found.kind === 'answer') return found.answers.map(record => changeRecord(record, { owner: target }));
  if (found.kind !== 'alias') return [];
  return then(follow(found.target, type, zones, next, client, left - 1), behind => [
    changeRecord(found.alias, { owner: target }),
    ...behind,
  ]);
}

/** Addresses and aliases of an answer from behind, with their names written out: they move to another message. */
function recordsOf(behind: Answer, target: string): readonly Record[] {
  const { answers } = behind.kind === 'records' ? behind : detachedRecords(behind.message);
  return answers
    .filter(({ type }) => type === recordType.A || type === recordType.AAAA || type === recordType.CNAME)
    .map(record => (ownerOf(record) === undefined ? changeRecord(record, { owner: target }) : record));
}
