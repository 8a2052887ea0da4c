import type { Ingress, IngressBackend } from '#api/networking/v1/ingress.ts';
import type { IngressClass } from '#api/networking/v1/ingress-class.ts';
import type { Backends } from './backends.ts';
import { certificateOf } from './certificates.ts';
import type { Certificate, HttpEntry, HttpRule, PathMatch, ProxyPort } from './model.ts';
import { ageOf, byAge, ingressControllerName, isPrintable, type World } from './world.ts';

/** The ports of all Ingresses together: they share one address. */
export const ingressPorts = { http: 80, https: 443 } as const;

const classAnnotation = 'kubernetes.io/ingress.class';

/** The Ingresses that are ours, the oldest first. */
export function ownIngresses({ ingresses, ingressClasses }: World): readonly Ingress[] {
  const own = new Set(
    ingressClasses
      .filter((each: IngressClass) => each.spec.controller === ingressControllerName)
      .map(({ metadata }) => metadata.name),
  );
  return ingresses
    .filter(({ metadata, spec }) => own.has(spec.ingressClassName ?? metadata.annotations?.[classAnnotation] ?? ''))
    .toSorted(byAge);
}

export function portsOfIngresses(world: World, backends: Backends): readonly ProxyPort[] {
  const ingresses = ownIngresses(world);
  if (ingresses.length === 0) return [];
  const entries = ingresses.flatMap(ingress => entriesOf(ingress, world, backends));
  const certificates = certificatesOf(ingresses, world);
  return [
    {
      id: 'ingress:80',
      number: ingressPorts.http,
      listeners: [{ type: 'http', hostname: '', certificates: [], entries }],
    },
    ...(certificates.length > 0
      ? [
          {
            id: 'ingress:443',
            number: ingressPorts.https,
            listeners: [{ type: 'https' as const, hostname: '', certificates, entries }],
          },
        ]
      : []),
  ];
}

function entriesOf(ingress: Ingress, world: World, backends: Backends): readonly HttpEntry[] {
  const { defaultBackend, rules = [] } = ingress.spec;
  const entries: HttpEntry[] = [];
  const add = (hostname: string, path: PathMatch, backend: IngressBackend, more: Pick<HttpEntry, 'last'> = {}) => {
    const age = `${ageOf(ingress)} ${String(entries.length).padStart(5, '0')}`;
    const rule = ruleOf(backend, ingress, world, backends);
    entries.push({ hostname, oneLabel: true, path, headers: [], query: [], rule, age, ...more });
  };
  for (const { host = '', http } of rules)
    for (const { path: text = '', pathType, backend } of http?.paths ?? []) {
      if (!isPrintable(text)) continue;
      const path = text === '' ? '/' : text;
      add(host.toLowerCase(), { type: pathType === 'Exact' ? 'exact' : 'prefix', path }, backend);
    }
  if (defaultBackend) add('', { type: 'prefix', path: '/' }, defaultBackend, { last: true });
  return entries;
}

/** Backends that are not there answer 503: an Ingress has no way to say that it is wrong. */
function ruleOf({ service }: IngressBackend, { metadata }: Ingress, world: World, backends: Backends): HttpRule {
  const namespace = metadata.namespace ?? '';
  const found = service && world.service(namespace, service.name);
  const port = found?.spec?.ports?.find(
    each =>
      (each.protocol ?? 'TCP') === 'TCP' &&
      (service?.port.name ? each.name === service.port.name : each.port === service?.port.number),
  );
  const backend =
    found && port && found.spec?.type !== 'ExternalName'
      ? backends.add(namespace, service.name, port, { protocol: port.appProtocol === 'grpc' ? 'h2c' : 'http' })
      : undefined;
  return {
    filters: {},
    failure: 503,
    backends: [{ weight: 1, filters: {}, ...(typeof backend === 'string' && { backend }) }],
  };
}

/** Of two Ingresses that have a certificate for a name, the older one's is shown. */
function certificatesOf(ingresses: readonly Ingress[], world: World): readonly Certificate[] {
  const certificates: Certificate[] = [];
  const taken = new Set<string>();
  for (const { metadata, spec } of ingresses)
    for (const { hosts = [], secretName = '' } of spec.tls ?? []) {
      const secret = world.secret(metadata.namespace ?? '', secretName);
      const certificate = secret && certificateOf(secret);
      if (!certificate || typeof certificate === 'string') continue;
      // Without hosts it is for those that the rules name.
      const wanted = hosts.length > 0 ? hosts : (spec.rules ?? []).flatMap(({ host }) => (host ? [host] : []));
      const names = wanted.map(each => each.toLowerCase()).filter(each => !taken.has(each));
      for (const name of names) taken.add(name);
      if (names.length > 0) certificates.push({ ...certificate, names });
      else if (wanted.length === 0 && !taken.has('')) {
        taken.add('');
        certificates.push({ ...certificate, names: [] });
      }
    }
  return certificates;
}
