import { createHash } from 'node:crypto';
import type { ServicePort } from '#api/core/v1/service.ts';
import { authoritiesOf } from './certificates.ts';
import type { AncestorStatus, BackendReference, BackendTlsPolicy, ParentReference } from './kinds.ts';
import type { BackendTls, Certificate, ProxyBackend } from './model.ts';
import { byAge, controllerName, mayRefer, no, yes, type Finding, type Referrer, type World } from './world.ts';

/** The backends that routes lead to, each once, and what became of the policies for them. */
export class Backends {
  readonly all = new Map<string, ProxyBackend>();
  readonly #world: World;
  readonly #names = new Map<string, string>();
  readonly #policies: ReadonlyMap<string, readonly BackendTlsPolicy[]>;
  /** Policy → the Gateways that it matters to. */
  readonly #ancestors = new Map<BackendTlsPolicy, Map<string, ParentReference>>();

  constructor(world: World) {
    this.#world = world;
    const targets = world.policies
      .toSorted(byAge)
      .flatMap(policy => policy.spec.targetRefs.map(target => [targetKey(policy, target), policy] as const));
    this.#policies = new Map(
      [...Map.groupBy(targets, ([key]) => key)].map(([key, pairs]) => [key, pairs.map(([, policy]) => policy)]),
    );
  }

  /** The name of a backend, or why there is none. */
  resolve(
    reference: BackendReference,
    from: Referrer,
    how: {
      readonly protocol: ProxyBackend['protocol'];
      readonly ancestor: ParentReference;
      readonly client?: Certificate | undefined;
    },
  ): string | Finding {
    const { group = '', kind = 'Service', name, port } = reference;
    const namespace = reference.namespace ?? from.namespace;
    if (group !== '' || kind !== 'Service')
      return no('ResolvedRefs', 'InvalidKind', `Backends are Services, not ${kind} of ${JSON.stringify(group)}.`);
    if (!mayRefer(this.#world, from, { group, kind, namespace, name }))
      return no(
        'ResolvedRefs',
        'RefNotPermitted',
        `No ReferenceGrant of ${namespace} allows the Service ${namespace}/${name}.`,
      );
    const found = this.#world.service(namespace, name);
    if (!found) return no('ResolvedRefs', 'BackendNotFound', `The Service ${namespace}/${name} is not there.`);
    if (found.spec?.type === 'ExternalName')
      return no(
        'ResolvedRefs',
        'BackendNotFound',
        `The Service ${namespace}/${name} is of the type ExternalName, which leads nowhere.`,
      );
    const servicePort = found.spec?.ports?.find(each => each.port === port && (each.protocol ?? 'TCP') === 'TCP');
    if (!servicePort)
      return no('ResolvedRefs', 'BackendNotFound', `The Service ${namespace}/${name} has no TCP port ${String(port)}.`);
    return this.add(namespace, name, servicePort, how);
  }

  add(
    namespace: string,
    service: string,
    port: ServicePort,
    how: {
      readonly protocol: ProxyBackend['protocol'];
      readonly ancestor?: ParentReference;
      readonly client?: Certificate | undefined;
    },
  ): string | Finding {
    const protocol = how.protocol === 'http' && port.appProtocol === 'kubernetes.io/h2c' ? 'h2c' : how.protocol;
    const encrypted = how.ancestor && this.#tlsOf(namespace, service, port.name ?? '', how.ancestor);
    if (encrypted && 'reason' in encrypted) return encrypted;
    const tls = encrypted && { ...encrypted, ...(how.client && { client: how.client }) };
    const identity = [namespace, service, String(port.port), protocol, JSON.stringify(tls ?? null)].join('\n');
    const known = this.#names.get(identity);
    if (known !== undefined) return known;
    const name = `b-${createHash('sha256').update(identity).digest('hex').slice(0, 20)}`;
    this.#names.set(identity, name);
    if (!this.all.has(name))
      this.all.set(name, { name, namespace, service, portName: port.name ?? '', protocol, ...(tls && { tls }) });
    return name;
  }

  /** The oldest policy for the port, or else for the whole Service. */
  #tlsOf(
    namespace: string,
    service: string,
    portName: string,
    ancestor: ParentReference,
  ): BackendTls | Finding | undefined {
    const of = (section: string) => this.#policies.get(`${namespace}/${service}/${section}`) ?? [];
    const candidates = [...(portName === '' ? [] : of(portName)), ...of('')];
    for (const policy of candidates) {
      const of = this.#ancestors.get(policy) ?? new Map<string, ParentReference>();
      of.set(`${ancestor.namespace}/${ancestor.name}`, ancestor);
      this.#ancestors.set(policy, of);
    }
    const [policy] = candidates;
    if (!policy) return undefined;
    const read = this.#read(policy);
    return 'tls' in read
      ? read.tls
      : no('ResolvedRefs', 'UnsupportedValue', `The BackendTLSPolicy ${policy.metadata.name} cannot be used.`);
  }

  #read(policy: BackendTlsPolicy): { readonly tls: BackendTls } | { readonly findings: readonly Finding[] } {
    const { validation } = policy.spec;
    const { caCertificateRefs = [], hostname, subjectAltNames = [] } = validation;
    const refused = (reason: string, message: string) => ({
      findings: [no('Accepted', 'NoValidCACertificate', message), no('ResolvedRefs', reason, message)],
    });
    const pems: string[] = [];
    let problem: { readonly reason: string; readonly message: string } | undefined;
    for (const { group = '', kind = '', name } of caCertificateRefs) {
      if (group !== '' || kind !== 'ConfigMap') {
        problem ??= { reason: 'InvalidKind', message: `Authorities are in ConfigMaps, not in ${kind}.` };
        continue;
      }
      const map = this.#world.configMap(policy.metadata.namespace ?? '', name);
      const found = map ? authoritiesOf(map) : { problem: 'it is not there' };
      if ('caPem' in found) pems.push(found.caPem);
      else
        problem ??= {
          reason: 'InvalidCACertificateRef',
          message: `The ConfigMap ${name} has no authority: ${found.problem}.`,
        };
    }
    if (problem && pems.length === 0) return refused(problem.reason, problem.message);
    const names = subjectAltNames.flatMap(each => (each.type === 'Hostname' && each.hostname ? [each.hostname] : []));
    if (names.length !== subjectAltNames.length || names.length > 1)
      return {
        findings: [
          no('Accepted', 'Invalid', 'Only one subject alternative name, a host name, can be asked for.'),
          yes('ResolvedRefs'),
        ],
      };
    return {
      tls: { hostname, ...(pems.length > 0 && { caPem: pems.join('\n') }), ...(names.length > 0 && { names }) },
    };
  }

  /** What each policy's status is to say of the Gateways that it matters to. */
  policyStatuses(): readonly { readonly policy: BackendTlsPolicy; readonly ancestors: readonly PolicyAncestor[] }[] {
    return this.#world.policies.map(policy => {
      const read = this.#read(policy);
      const conflicts = policy.spec.targetRefs.some(
        target => this.#policies.get(targetKey(policy, target))?.[0] !== policy,
      );
      const findings = conflicts
        ? [no('Accepted', 'Conflicted', 'An older policy is for the same Service.'), yes('ResolvedRefs')]
        : 'tls' in read
          ? [yes('Accepted'), yes('ResolvedRefs')]
          : read.findings;
      const ancestors = [...(this.#ancestors.get(policy)?.values() ?? [])];
      return { policy, ancestors: ancestors.map(ancestorRef => ({ ancestorRef, controllerName, findings })) };
    });
  }
}

export type PolicyAncestor = Omit<AncestorStatus, 'conditions'> & { readonly findings: readonly Finding[] };

function targetKey(
  { metadata }: BackendTlsPolicy,
  { group = '', kind, name, sectionName = '' }: BackendTlsPolicy['spec']['targetRefs'][number],
): string {
  return group === '' && kind === 'Service' ? `${metadata.namespace}/${name}/${sectionName}` : '';
}
