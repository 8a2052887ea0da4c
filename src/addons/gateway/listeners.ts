import { labelSelectorMatches } from '#api/machinery/selector.ts';
import { certificateOf, authoritiesOf } from './certificates.ts';
import type { ClientValidation, Gateway, Listener, Reference, RouteKind } from './kinds.ts';
import type { Certificate, ProxyPort } from './model.ts';
import { mayRefer, no, yes, type Finding, type World } from './world.ts';

/** A listener of a Gateway as it stands, before routes. */
export interface ListenerState {
  readonly listener: Listener;
  readonly supportedKinds: readonly RouteKind[];
  readonly findings: readonly Finding[];
  readonly certificates: readonly Certificate[];
  /** Routes may attach: it is what it says, though it may lack a certificate. */
  readonly accepts: boolean;
  /** It takes connections. */
  readonly usable: boolean;
}

export const gatewayGroup = 'gateway.networking.k8s.io';

/** Kinds of routes by the protocol of a listener; other protocols are not served. */
const kindsOf: Readonly<Record<string, readonly string[]>> = {
  HTTP: ['HTTPRoute', 'GRPCRoute'],
  HTTPS: ['HTTPRoute', 'GRPCRoute'],
  TLS: ['TLSRoute'],
};

export function listenersOf(gateway: Gateway, world: World): readonly ListenerState[] {
  const { listeners } = gateway.spec;
  return listeners.map(listener => stateOf(listener, gateway, world));
}

function stateOf(listener: Listener, gateway: Gateway, world: World): ListenerState {
  const { protocol, allowedRoutes } = listener;
  const served = Object.hasOwn(kindsOf, protocol) ? (kindsOf[protocol] ?? []) : [];
  if (served.length === 0)
    return {
      listener,
      supportedKinds: [],
      certificates: [],
      accepts: false,
      usable: false,
      findings: [
        no('Accepted', 'UnsupportedProtocol', `The protocol ${protocol} is not served.`),
        yes('ResolvedRefs'),
        no('Programmed', 'Invalid', 'The listener is not valid.'),
        no('Conflicted', 'NoConflicts', ''),
      ],
    };
  const asked = allowedRoutes?.kinds ?? [];
  const fits = ({ group = gatewayGroup, kind }: RouteKind) => group === gatewayGroup && served.includes(kind);
  const supportedKinds =
    asked.length === 0
      ? served.map(kind => ({ group: gatewayGroup, kind }))
      : asked.filter(fits).map(({ kind }) => ({ group: gatewayGroup, kind }));
  const conflict = conflictOf(listener, gateway.spec.listeners);
  const { certificates, problem } = certificatesFor(listener, gateway, world);
  const clients = clientValidationOf(gateway, listener, world);
  const wrongKind = asked.find(each => !fits(each));
  const resolved = wrongKind
    ? no('ResolvedRefs', 'InvalidRouteKinds', `Routes of the kind ${wrongKind.kind} cannot attach to ${protocol}.`)
    : (problem ?? clients?.finding ?? yes('ResolvedRefs'));
  const accepts = conflict === undefined && clients?.accepted === undefined;
  const usable = accepts && problem === undefined && clients?.finding === undefined && supportedKinds.length > 0;
  const overlapping = overlapOf(listener, gateway.spec.listeners);
  return {
    listener,
    supportedKinds,
    certificates,
    accepts,
    usable,
    findings: [
      conflict ? no('Accepted', conflict.reason, conflict.message) : (clients?.accepted ?? yes('Accepted')),
      resolved,
      usable ? yes('Programmed') : no('Programmed', 'Invalid', conflict?.message ?? resolved.message),
      conflict ?? no('Conflicted', 'NoConflicts', ''),
      ...(overlapping ? [overlapping] : []),
    ],
  };
}

/** Two listeners on a port must be told apart by the name that a client asks for, in one protocol. */
function conflictOf(listener: Listener, all: readonly Listener[]): Finding | undefined {
  const family = ({ protocol }: Listener) => (protocol === 'HTTP' ? 'HTTP' : 'TLS');
  const others = all.filter(
    each => each.name !== listener.name && each.port === listener.port && Object.hasOwn(kindsOf, each.protocol),
  );
  const alien = others.find(each => family(each) !== family(listener));
  if (alien)
    return yes(
      'Conflicted',
      'ProtocolConflict',
      `The listener ${alien.name} has port ${listener.port} for ${alien.protocol}.`,
    );
  const twin = others.find(each => (each.hostname ?? '') === (listener.hostname ?? ''));
  if (twin) return yes('Conflicted', 'HostnameConflict', `The listener ${twin.name} has the same port and host name.`);
  return undefined;
}

/** Browsers reuse a connection for every name of its certificate: where listeners overlap they ask the wrong one. */
function overlapOf(listener: Listener, all: readonly Listener[]): Finding | undefined {
  if (listener.protocol !== 'HTTPS') return undefined;
  const other = all.find(
    each =>
      each.name !== listener.name &&
      each.protocol === 'HTTPS' &&
      each.port === listener.port &&
      intersection(each.hostname, listener.hostname) !== undefined,
  );
  return (
    other && yes('OverlappingTLSConfig', 'OverlappingHostnames', `Its host names overlap with those of ${other.name}.`)
  );
}

function certificatesFor(
  { protocol, tls }: Listener,
  gateway: Gateway,
  world: World,
): { readonly certificates: readonly Certificate[]; readonly problem?: Finding } {
  if (protocol === 'HTTP' || (protocol === 'TLS' && tls?.mode === 'Passthrough')) return { certificates: [] };
  const certificates: Certificate[] = [];
  let problem: Finding | undefined;
  for (const reference of tls?.certificateRefs ?? []) {
    const found = certificateBehind(reference, gateway, world);
    if ('certPem' in found) certificates.push(found);
    else problem ??= no('ResolvedRefs', found.reason, found.message);
  }
  if (certificates.length === 0)
    problem ??= no('ResolvedRefs', 'InvalidCertificateRef', 'The listener has no certificate.');
  return { certificates, ...(problem && { problem }) };
}

/** The certificate that a Gateway refers to. */
export function certificateBehind(
  { group = '', kind = 'Secret', name, namespace }: Reference,
  gateway: Gateway,
  world: World,
): Certificate | { readonly reason: 'InvalidCertificateRef' | 'RefNotPermitted'; readonly message: string } {
  const own = gateway.metadata.namespace ?? '';
  const of = namespace ?? own;
  if (group !== '' || kind !== 'Secret')
    return { reason: 'InvalidCertificateRef', message: `Certificates are in Secrets, not in ${kind}.` };
  const from = { group: gatewayGroup, kind: 'Gateway', namespace: own };
  if (!mayRefer(world, from, { group, kind, namespace: of, name }))
    return { reason: 'RefNotPermitted', message: `No ReferenceGrant of ${of} allows the Secret ${of}/${name}.` };
  const secret = world.secret(of, name);
  if (!secret) return { reason: 'InvalidCertificateRef', message: `The Secret ${of}/${name} is not there.` };
  const found = certificateOf(secret);
  if (typeof found === 'string')
    return { reason: 'InvalidCertificateRef', message: `The Secret ${of}/${name} has no certificate: ${found}.` };
  return found;
}

interface Clients {
  readonly finding?: Finding;
  readonly accepted?: Finding;
  readonly validation?: NonNullable<ProxyPort['clientValidation']>;
}

/** Whose certificates clients of a listener must have. */
export function clientValidationOf(gateway: Gateway, { port, protocol }: Listener, world: World): Clients | undefined {
  if (protocol !== 'HTTPS') return undefined;
  const { frontend } = gateway.spec.tls ?? {};
  const ofPort = frontend?.perPort?.find(each => each.port === port);
  const asked: ClientValidation | undefined = ofPort ? ofPort.tls.validation : frontend?.default.validation;
  if (!asked) return undefined;
  const pems: string[] = [];
  let finding: Finding | undefined;
  for (const reference of asked.caCertificateRefs) {
    const found = authorityBehind(reference, gateway, world);
    if (typeof found === 'string') pems.push(found);
    else finding ??= found;
  }
  const accepted =
    pems.length === 0
      ? no('Accepted', 'NoValidCACertificate', 'None of the authorities for clients can be used.')
      : undefined;
  return {
    ...(finding && { finding }),
    ...(accepted && { accepted }),
    ...(pems.length > 0 && {
      validation: { caPem: pems.join('\n'), optional: asked.mode === 'AllowInsecureFallback' },
    }),
  };
}

function authorityBehind({ group = '', kind = '', name, namespace }: Reference, gateway: Gateway, world: World) {
  const own = gateway.metadata.namespace ?? '';
  const of = namespace ?? own;
  if (group !== '' || kind !== 'ConfigMap')
    return no('ResolvedRefs', 'InvalidCACertificateKind', `Authorities are in ConfigMaps, not in ${kind}.`);
  const from = { group: gatewayGroup, kind: 'Gateway', namespace: own };
  if (!mayRefer(world, from, { group, kind, namespace: of, name }))
    return no('ResolvedRefs', 'RefNotPermitted', `No ReferenceGrant of ${of} allows the ConfigMap ${of}/${name}.`);
  const map = world.configMap(of, name);
  const found = map ? authoritiesOf(map) : { problem: 'it is not there' };
  if ('problem' in found)
    return no(
      'ResolvedRefs',
      'InvalidCACertificateRef',
      `The ConfigMap ${of}/${name} has no authority: ${found.problem}.`,
    );
  return found.caPem;
}

/** Whether routes of a namespace may attach. */
export function allowsNamespace(
  { allowedRoutes }: Listener,
  gateway: Gateway,
  namespace: string,
  world: World,
): boolean {
  const { from = 'Same', selector } = allowedRoutes?.namespaces ?? {};
  if (from === 'All') return true;
  if (from === 'Same') return namespace === gateway.metadata.namespace;
  return selector !== undefined && labelSelectorMatches(selector, world.labelsOfNamespace(namespace));
}

/** What two host names, each possibly a wildcard or absent, have in common; undefined: nothing. Empty: everything. */
export function intersection(left: string | undefined, right: string | undefined): string | undefined {
  const [one, other] = [left ?? '', right ?? ''];
  if (one === '' || one === other) return other;
  if (other === '') return one;
  if (one.startsWith('*.') && other.endsWith(one.slice(1))) return other;
  if (other.startsWith('*.') && one.endsWith(other.slice(1))) return one;
  return undefined;
}
