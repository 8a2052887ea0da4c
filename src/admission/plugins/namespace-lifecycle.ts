import { errors } from '#api/machinery/errors.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { forbidden, isOf } from '../request.ts';
import { find, type Sources, withFound } from '../sources.ts';

function checkPhase(request: AdmissionRequest, namespace: Namespace | undefined): void {
  if (!namespace) throw errors.notFound({ group: '', plural: 'namespaces' }, request.namespace);
  if (request.operation !== 'CREATE' || namespace.status?.phase !== 'Terminating') return;
  throw forbidden(
    request,
    `unable to create new content in namespace ${request.namespace} because it is being terminated`,
    [
      {
        reason: 'NamespaceTerminating',
        message: `namespace ${request.namespace} is being terminated`,
        field: 'metadata.namespace',
      },
    ],
  );
}

const immortal = new Set(['default', 'kube-system', 'kube-public']);

/** Nothing is created in a namespace that is missing or going away; the system's namespaces stay. */
export function namespaceLifecycle(sources: Sources): AdmissionPlugin {
  const namespaces = sources.informers.of(Namespace);
  return {
    name: 'NamespaceLifecycle',
    handles: ({ operation, kind, namespace }) =>
      operation === 'DELETE'
        ? kind.group === '' && kind.kind === 'Namespace'
        : operation !== 'CONNECT' && namespace !== '' && kind.namespaced && kind.kind !== 'LocalSubjectAccessReview',
    admit(request) {
      if (request.operation === 'DELETE') return undefined;
      return withFound(find(sources, namespaces, request.namespace), namespace => checkPhase(request, namespace));
    },
    validate(request) {
      if (request.operation === 'DELETE' && isOf(request, Namespace) && immortal.has(request.name))
        throw forbidden(request, 'this namespace may not be deleted');
    },
  };
}
