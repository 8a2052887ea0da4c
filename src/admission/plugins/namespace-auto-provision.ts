import { isReason } from '#api/machinery/errors.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { find, type Sources } from '../sources.ts';

/** A namespace that something is created in comes into being with it. */
export function namespaceAutoProvision(sources: Sources): AdmissionPlugin {
  const namespaces = sources.informers.of(Namespace);
  return {
    name: 'NamespaceAutoProvision',
    handles: ({ operation, kind, namespace }) => operation === 'CREATE' && namespace !== '' && kind.namespaced,
    async admit({ namespace, dryRun }) {
      // Nothing stays of a dry run.
      if (dryRun || (await find(sources, namespaces, namespace))) return;
      try {
        await sources.client.create(Namespace, { metadata: { name: namespace } });
      } catch (error) {
        // Somebody else was faster.
        if (!isReason(error, 'AlreadyExists')) throw error;
      }
    },
  };
}
