import { errors } from '#api/machinery/errors.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { concerns, draftOf, forbidden, objectOf } from '../request.ts';
import { find, type Sources } from '../sources.ts';

const annotation = 'scheduler.alpha.kubernetes.io/node-selector';
const clusterDefault = 'clusterDefaultNodeSelector';

type Selector = ReadonlyMap<string, string>;

/**
 * A namespace says on which nodes its pods run. `selectors`: what namespaces without the annotation get
 * (`clusterDefaultNodeSelector`), and by namespace what its pods may ask for at most.
 */
export function podNodeSelector(sources: Sources, selectors: Readonly<Record<string, string>> = {}): AdmissionPlugin {
  const namespaces = sources.informers.of(Namespace);
  const selectorOf = async ({ namespace }: AdmissionRequest): Promise<Selector> => {
    const found = await find(sources, namespaces, namespace);
    if (!found) throw errors.internal(`namespace ${namespace} does not exist`);
    return parsed(found.metadata.annotations?.[annotation] ?? ownValue(selectors, clusterDefault));
  };
  const check = (request: AdmissionRequest, wanted: Selector, chosen: Readonly<Record<string, string>>) => {
    for (const [key, value] of wanted)
      if (Object.hasOwn(chosen, key) && chosen[key] !== value)
        throw forbidden(request, 'pod node label selector conflicts with its namespace node label selector');
  };
  return {
    name: 'PodNodeSelector',
    handles: request => concerns(request, Pod, 'CREATE'),
    async admit(request) {
      const { spec } = draftOf(Pod, request);
      if (!spec) return;
      const wanted = await selectorOf(request);
      check(request, wanted, spec.nodeSelector ?? {});
      if (wanted.size > 0) spec.nodeSelector = { ...Object.fromEntries(wanted), ...spec.nodeSelector };
    },
    async validate(request) {
      const { nodeSelector = {} } = objectOf(Pod, request).spec ?? {};
      check(request, await selectorOf(request), nodeSelector);
      const allowed = parsed(ownValue(selectors, request.namespace));
      if (allowed.size === 0) return;
      for (const [key, value] of Object.entries(nodeSelector))
        if (allowed.get(key) !== value)
          throw forbidden(request, 'pod node label selector labels conflict with its namespace whitelist');
    },
  };
}

/** `a=b,c=d`: nothing but equalities. */
function parsed(text: string | undefined): Selector {
  const selector = new Map<string, string>();
  for (const part of (text ?? '').split(',')) {
    if (part.trim() === '') continue;
    const [key = '', value, more] = part.split('=');
    if (value === undefined || more !== undefined) throw errors.internal(`invalid selector: ${text}`);
    selector.set(key.trim(), value.trim());
  }
  return selector;
}

function ownValue(selectors: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(selectors, name) ? selectors[name] : undefined;
}
