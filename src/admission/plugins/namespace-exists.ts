import { errors } from '#api/machinery/errors.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { find, type Sources } from '../sources.ts';

/** Nothing is written in a namespace that is missing. NamespaceLifecycle says so, too, of what is created. */
export function namespaceExists(sources: Sources): AdmissionPlugin {
  const namespaces = sources.informers.of(Namespace);
  return {
    name: 'NamespaceExists',
    handles: ({ operation, kind, namespace }) => operation !== 'CONNECT' && namespace !== '' && kind.namespaced,
    async validate({ namespace }) {
      if (!(await find(sources, namespaces, namespace))) throw errors.notFound(Namespace, namespace);
    },
  };
}
