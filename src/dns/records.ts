import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service, type ServicePort } from '#api/core/v1/service.ts';
import { EndpointSlice, type Endpoint } from '#api/discovery/v1/endpoint-slice.ts';
import { formatIp, parseIp } from '#base/ip.ts';
import type { Index, Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';
import {
  addressRecord,
  authorityRecord,
  encodeName,
  nameRecord,
  recordType,
  serviceRecord,
  textRecord,
  type Record,
} from './message.ts';
import { addressFromReverse } from './reverse.ts';

/** What the cluster says about a name. */
export type Found =
  | { readonly kind: 'answer'; readonly answers: readonly Record[]; readonly additional: readonly Record[] }
  /** An ExternalName: the alias, and what it stands for. */
  | { readonly kind: 'alias'; readonly alias: Record; readonly target: string }
  /** The name is there, with records of other types. */
  | { readonly kind: 'nodata' }
  | { readonly kind: 'nxdomain' };

const nodata: Found = { kind: 'nodata' };
const nxdomain: Found = { kind: 'nxdomain' };

export interface ClusterRecordsOptions {
  readonly informers: Informers;
  /** `cluster.local` */
  readonly zone: string;
  readonly ttlSeconds: number;
  /** The address at which this server is asked, for its own name. */
  readonly address: string;
  /** CoreDNS': pods have no records, those that their names say, or these where such a pod is. */
  readonly pods: 'disabled' | 'insecure' | 'verified';
  /** Absent: all. */
  readonly namespaces?: ReadonlySet<string>;
  readonly labelSelector?: string;
  /** Endpoints without a host name are called by their pod. */
  readonly endpointPodNames: boolean;
  /** Headless services have no names. */
  readonly noEndpoints: boolean;
  /** A service with an address, but without ready endpoints, has no name. */
  readonly ignoreEmptyService: boolean;
}

const schemaVersion = '1.1.0';
const serviceNameLabel = 'kubernetes.io/service-name';
/** A service's own endpoints without a name are called by their address; a port name may be missing too. */
const portsOfNone = [{ name: '', protocol: '', port: 0 }];

/**
 * The records of the Kubernetes DNS specification 1.1. What a service answers is encoded when it is first asked for and
 * forgotten when the service or its endpoints change: a change costs one deletion from a map.
 */
export class ClusterRecords implements Disposable {
  readonly synced: Promise<void>;
  readonly zone: string;
  readonly #options: ClusterRecordsOptions;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #namespaces: Informer<Namespace>;
  readonly #slicesOfService: Index<EndpointSlice>;
  readonly #slicesOfAddress: Index<EndpointSlice>;
  readonly #servicesOfAddress: Index<Service>;
  /** By `name.namespace`, as it stands in names. */
  readonly #names = new Map<string, ServiceNames>();
  readonly #podsOfAddress: Index<Pod> | undefined;
  readonly #podsSynced: () => boolean = () => true;
  readonly #unsubscribe: (() => void)[];
  #version = 0;
  #authority: { readonly serial: number; readonly record: Record } | undefined;
  readonly #suffix: string;
  readonly #serviceSuffix: string;
  readonly #podSuffix: string;

  constructor(options: ClusterRecordsOptions) {
    const { informers, zone } = options;
    this.#options = options;
    this.zone = zone;
    this.#suffix = `.${zone}`;
    this.#serviceSuffix = `.svc.${zone}`;
    this.#podSuffix = `.pod.${zone}`;
    this.#services = informers.of(
      Service,
      options.labelSelector === undefined ? {} : { labelSelector: options.labelSelector },
    );
    this.#slices = informers.of(EndpointSlice);
    this.#namespaces = informers.of(Namespace);
    this.#slicesOfService = this.#slices.index('service of any kind', slice => serviceOf(slice));
    this.#slicesOfAddress = this.#slices.index('address', addressesOf);
    this.#servicesOfAddress = this.#services.index('cluster-ip', clusterIpsOf);
    const forget = (key: string) => {
      this.#version++;
      this.#names.delete(nameOfKey(key));
    };
    const changed = () => void this.#version++;
    const forgetService = ({ metadata }: Service) => forget(`${metadata.namespace}/${metadata.name}`);
    const forgetSlice = (slice: EndpointSlice) => serviceOf(slice).forEach(forget);
    this.#unsubscribe = [
      this.#services.subscribe({ added: forgetService, updated: forgetService, deleted: forgetService }),
      this.#slices.subscribe({
        added: forgetSlice,
        updated: (slice, old) => {
          forgetSlice(old);
          forgetSlice(slice);
        },
        deleted: forgetSlice,
      }),
      this.#namespaces.subscribe({ added: changed, deleted: changed }),
    ];
    const synced: Promise<unknown>[] = [this.#services.synced, this.#slices.synced, this.#namespaces.synced];
    if (options.pods === 'verified') {
      const pods = informers.of(Pod);
      this.#podsOfAddress = pods.index('live pod ip', podIpsOf);
      this.#podsSynced = () => pods.hasSynced;
      this.#unsubscribe.push(pods.subscribe({ added: changed, updated: changed, deleted: changed }));
      synced.push(pods.synced);
    }
    this.synced = Promise.all(synced).then(() => {});
  }

  get hasSynced(): boolean {
    return this.#services.hasSynced && this.#slices.hasSynced && this.#namespaces.hasSynced && this.#podsSynced();
  }

  /** Another one when anything may be answered otherwise. */
  get version(): number {
    return this.#version;
  }

  /** For denials. */
  get authority(): Record {
    const { zone, ttlSeconds } = this.#options;
    const serial = Number(this.#services.resourceVersion || 0) >>> 0;
    // Names that pods' search lists make up are most of all questions, and each denial carries it.
    if (this.#authority?.serial !== serial)
      this.#authority = { serial, record: authorityRecord(zone, serial, ttlSeconds) };
    return this.#authority.record;
  }

  /** `name` in lower case. `undefined`: not a name of the cluster. */
  lookup(name: string, type: number): Found | undefined {
    if (name.endsWith(this.#serviceSuffix)) return this.#ofService(name.slice(0, -this.#serviceSuffix.length), type);
    if (name === this.zone) return this.#ofZone(type);
    if (!name.endsWith(this.#suffix)) return undefined;
    if (name.endsWith(this.#podSuffix)) return this.#ofPod(name.slice(0, -this.#podSuffix.length), type);
    return this.#ofRest(name.slice(0, -this.#suffix.length), type);
  }

  [Symbol.dispose](): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  #ofService(rest: string, type: number): Found {
    const exact = this.#namesOf(rest);
    if (exact) return exact.find('', type);
    const namespaceDot = rest.lastIndexOf('.');
    // `default.svc.cluster.local`: the namespace is there, without records.
    if (namespaceDot < 0) return this.#hasNamespace(rest) ? nodata : nxdomain;
    const serviceDot = rest.lastIndexOf('.', namespaceDot - 1);
    if (serviceDot < 0) return nxdomain;
    return this.#namesOf(rest.slice(serviceDot + 1))?.find(rest.slice(0, serviceDot), type) ?? nxdomain;
  }

  #namesOf(key: string): ServiceNames | undefined {
    const known = this.#names.get(key);
    if (known) return known;
    const dot = key.indexOf('.');
    if (dot < 0) return undefined;
    const [name, namespace] = [key.slice(0, dot), key.slice(dot + 1)];
    const service = this.#services.get(name, namespace);
    if (!service || !this.#hasNamespace(namespace)) return undefined;
    const slices = [...this.#slicesOfService.get(`${namespace}/${name}`).values()];
    const names = new ServiceNames(service, slices, `${key}${this.#serviceSuffix}`, this.#options);
    this.#names.set(key, names);
    return names;
  }

  #ofZone(type: number): Found {
    const { zone, ttlSeconds, address } = this.#options;
    if (type === recordType.SOA) return { kind: 'answer', answers: [this.authority], additional: [] };
    if (type !== recordType.NS) return nodata;
    const server = `ns.dns.${zone}`;
    return {
      kind: 'answer',
      answers: [nameRecord(recordType.NS, server, ttlSeconds)],
      additional: [addressRecord(address, ttlSeconds, server)],
    };
  }

  #ofRest(rest: string, type: number): Found {
    const { ttlSeconds, address } = this.#options;
    switch (rest) {
      case 'dns-version':
        if (type !== recordType.TXT) return nodata;
        return { kind: 'answer', answers: [textRecord(schemaVersion, ttlSeconds)], additional: [] };
      case 'ns.dns': {
        const record = addressRecord(address, ttlSeconds);
        return record.type === type ? { kind: 'answer', answers: [record], additional: [] } : nodata;
      }
      case 'svc':
      case 'pod':
      case 'dns':
        return nodata;
      default:
        return nxdomain;
    }
  }

  /** `10-244-0-5.default`: the address is in the name, the namespace must exist. */
  #ofPod(rest: string, type: number): Found {
    if (this.#options.pods === 'disabled') return nxdomain;
    const dot = rest.indexOf('.');
    if (dot < 0) return this.#hasNamespace(rest) ? nodata : nxdomain;
    const ip = addressFromDashes(rest.slice(0, dot));
    const namespace = rest.slice(dot + 1);
    if (this.#podsOfAddress && ip !== undefined) {
      const pods = [...this.#podsOfAddress.get(ip).values()];
      if (!pods.some(pod => pod.metadata.namespace === namespace)) return nxdomain;
    }
    if (ip === undefined || !this.#hasNamespace(namespace)) return nxdomain;
    const record = addressRecord(ip, this.#options.ttlSeconds);
    return record.type === type ? { kind: 'answer', answers: [record], additional: [] } : nodata;
  }

  #hasNamespace(name: string): boolean {
    if (this.#options.namespaces?.has(name) === false) return false;
    return this.#namespaces.get(name) !== undefined;
  }

  /** A name of in-addr.arpa or ip6.arpa; others than the cluster's own are not ours. */
  reverse(name: string, type: number): Found | undefined {
    const ip = addressFromReverse(name);
    if (ip === undefined) return undefined;
    const targets = this.#namesOfAddress(ip);
    if (targets.length === 0) return undefined;
    if (type !== recordType.PTR) return nodata;
    const answers = targets.map(target => nameRecord(recordType.PTR, target, this.#options.ttlSeconds));
    return { kind: 'answer', answers, additional: [] };
  }

  #namesOfAddress(ip: string): readonly string[] {
    const services = [...this.#servicesOfAddress.get(ip).values()].filter(({ metadata }) =>
      this.#hasNamespace(metadata.namespace ?? ''),
    );
    if (services.length > 0)
      return services.map(({ metadata }) => `${metadata.name}.${metadata.namespace}${this.#serviceSuffix}`);
    const names = new Set<string>();
    for (const slice of this.#slicesOfAddress.get(ip).values())
      for (const key of serviceOf(slice)) {
        if (!this.#services.objects.has(key) || !this.#hasNamespace(slice.metadata.namespace ?? '')) continue;
        for (const endpoint of slice.endpoints ?? [])
          if (endpoint.addresses.some(address => canonical(address) === ip))
            names.add(
              `${endpointName(endpoint, ip, this.#options.endpointPodNames)}.${nameOfKey(key)}${this.#serviceSuffix}`,
            );
      }
    return [...names];
  }
}

interface NamedEndpoint {
  readonly name: string;
  readonly ip: string;
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly port: number }[];
}

/** What one service answers, each question encoded once. */
class ServiceNames {
  readonly #service: Service;
  readonly #name: string;
  readonly #ttlSeconds: number;
  readonly #options: ClusterRecordsOptions;
  readonly #endpoints: readonly NamedEndpoint[];
  readonly #found = new Map<string, Found>();

  constructor(service: Service, slices: readonly EndpointSlice[], name: string, options: ClusterRecordsOptions) {
    this.#service = service;
    this.#name = name;
    this.#ttlSeconds = options.ttlSeconds;
    this.#options = options;
    this.#endpoints = options.noEndpoints ? [] : slices.flatMap(slice => endpointsOf(slice, options.endpointPodNames));
  }

  /** `prefix`: what stands before the service's name: an endpoint's name, `_port._protocol`, or nothing. */
  find(prefix: string, type: number): Found {
    const question = `${type} ${prefix}`;
    const known = this.#found.get(question);
    if (known) return known;
    const found = this.#find(prefix, type);
    // Names that are not there are endless; only those that are may stay in memory.
    if (found.kind === 'answer' || found.kind === 'alias') this.#found.set(question, found);
    return found;
  }

  #find(prefix: string, type: number): Found {
    const { spec } = this.#service;
    if (spec?.type === 'ExternalName') return prefix === '' ? this.#alias(spec.externalName ?? '', type) : nxdomain;
    if (prefix === '') return type === recordType.SRV ? this.#services('', '') : this.#addresses(type);
    const port = /^_([^.]+)\._([^.]+)$/.exec(prefix);
    if (port) return this.#portServices(port[1] ?? '', port[2] ?? '', type);
    // `_tcp.web.default.svc…` is on the way to names that are there.
    if (prefix === '_tcp' || prefix === '_udp' || prefix === '_sctp') return nodata;
    const endpoints = this.#endpoints.filter(endpoint => endpoint.name === prefix);
    if (endpoints.length === 0) return nxdomain;
    return this.#answer(addressRecords(endpoints, type, this.#ttlSeconds));
  }

  #alias(externalName: string, type: number): Found {
    const target = externalName.toLowerCase().replace(/\.$/, '');
    if (parseIp(target) !== undefined) {
      const record = addressRecord(target, this.#ttlSeconds);
      return record.type === type ? { kind: 'answer', answers: [record], additional: [] } : nodata;
    }
    try {
      encodeName(target);
    } catch {
      // Such a name has no form in DNS: the service has no records.
      return nodata;
    }
    const alias = nameRecord(recordType.CNAME, target, this.#ttlSeconds);
    if (type === recordType.CNAME) return { kind: 'answer', answers: [alias], additional: [] };
    return { kind: 'alias', alias, target };
  }

  #addresses(type: number): Found {
    const ips = clusterIpsOf(this.#service);
    if (ips.length === 0) {
      const answer = this.#answer(addressRecords(this.#endpoints, type, this.#ttlSeconds));
      // A headless service without ready endpoints has no name, as upstream has it.
      return this.#endpoints.length === 0 ? nxdomain : answer;
    }
    if (this.#options.ignoreEmptyService && this.#endpoints.length === 0) return nxdomain;
    const records = ips.map(ip => addressRecord(ip, this.#ttlSeconds));
    return this.#answer(records.filter(record => record.type === type));
  }

  #portServices(port: string, protocol: string, type: number): Found {
    const found = this.#services(port, protocol);
    if (found.kind !== 'answer') return nxdomain;
    return type === recordType.SRV ? found : nodata;
  }

  /** SRV of the ports of a name and protocol; of all when these are empty. */
  #services(port: string, protocol: string): Found {
    const matches = (candidate: { readonly name?: string; readonly protocol?: string }) =>
      port === '' || (candidate.name === port && candidate.protocol?.toLowerCase() === protocol);
    const targets: { readonly port: number; readonly target: string; readonly ips: readonly string[] }[] = [];
    const ips = clusterIpsOf(this.#service);
    if (ips.length > 0) {
      const ports: readonly ServicePort[] = this.#service.spec?.ports ?? [];
      for (const candidate of ports)
        if (matches(candidate)) targets.push({ port: candidate.port, target: this.#name, ips });
    } else {
      for (const { name, ip, ports } of this.#endpoints)
        for (const candidate of ports)
          if (candidate.port > 0 && matches(candidate))
            targets.push({ port: candidate.port, target: `${name}.${this.#name}`, ips: [ip] });
    }
    if (targets.length === 0) return nodata;
    const weight = Math.max(1, Math.floor(100 / targets.length));
    const answers = targets.map(({ port: number, target }) =>
      serviceRecord({ priority: 0, weight, port: number, target }, this.#ttlSeconds),
    );
    const addresses = new Map(
      targets.flatMap(({ target, ips: ofTarget }) => ofTarget.map(ip => [`${target} ${ip}`, { target, ip }] as const)),
    );
    const additional = Array.from(addresses.values(), ({ target, ip }) => addressRecord(ip, this.#ttlSeconds, target));
    return { kind: 'answer', answers, additional };
  }

  #answer(answers: readonly Record[]): Found {
    return answers.length === 0 ? nodata : { kind: 'answer', answers, additional: [] };
  }
}

function addressRecords(endpoints: readonly NamedEndpoint[], type: number, ttlSeconds: number): readonly Record[] {
  const ips = new Set(endpoints.map(endpoint => endpoint.ip));
  return Array.from(ips, ip => addressRecord(ip, ttlSeconds)).filter(record => record.type === type);
}

/** The ready ones; publishNotReadyAddresses makes all of a service's endpoints ready in its slices. */
function endpointsOf(slice: EndpointSlice, podNames: boolean): readonly NamedEndpoint[] {
  const ports = slice.ports?.map(({ name = '', protocol = 'TCP', port = 0 }) => ({ name, protocol, port }));
  return (slice.endpoints ?? [])
    .filter(endpoint => endpoint.conditions?.ready ?? true)
    .flatMap(endpoint =>
      endpoint.addresses
        .map(canonical)
        .filter(ip => ip !== undefined)
        .map(ip => ({ name: endpointName(endpoint, ip, podNames), ip, ports: ports ?? portsOfNone })),
    );
}

/** An endpoint without a host name is called by its address, or by its pod. */
function endpointName({ hostname, targetRef }: Endpoint, ip: string, podNames: boolean): string {
  if (hostname !== undefined && hostname !== '') return hostname.toLowerCase();
  const pod = podNames && targetRef?.kind === 'Pod' ? (targetRef.name ?? '') : '';
  // Upstream's bound: a label has 63 bytes at most, and a pod's name may be longer or have dots.
  if (pod !== '' && pod.length <= 63 && !pod.includes('.')) return pod;
  return ip.replaceAll(/[.:]/g, '-');
}

function podIpsOf({ status }: Pod): readonly string[] {
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return [];
  const listed = status?.podIPs?.length ? status.podIPs.map(({ ip }) => ip ?? '') : [status?.podIP ?? ''];
  return listed.map(canonical).filter(ip => ip !== undefined);
}

function serviceOf({ metadata }: EndpointSlice): readonly string[] {
  const name = metadata.labels?.[serviceNameLabel];
  return name === undefined ? [] : [`${metadata.namespace ?? ''}/${name}`];
}

function addressesOf(slice: EndpointSlice): readonly string[] {
  return (slice.endpoints ?? [])
    .filter(endpoint => endpoint.conditions?.ready ?? true)
    .flatMap(endpoint => endpoint.addresses.map(canonical).filter(ip => ip !== undefined));
}

function clusterIpsOf({ spec }: Service): readonly string[] {
  if (!spec || spec.type === 'ExternalName') return [];
  const listed = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ''];
  return listed.map(canonical).filter(ip => ip !== undefined);
}

function nameOfKey(key: string): string {
  const slash = key.indexOf('/');
  return `${key.slice(slash + 1)}.${key.slice(0, slash)}`;
}

function canonical(text: string): string | undefined {
  const address = parseIp(text);
  return address && formatIp(address);
}

/** `10-244-0-5`, `fd00--5` */
function addressFromDashes(text: string): string | undefined {
  return canonical(text.replaceAll('-', '.')) ?? canonical(text.replaceAll('-', ':'));
}
