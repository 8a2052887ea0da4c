import { deepEqual } from '#base/deep-equal.ts';
import type { Kind } from '#api/machinery/kind.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { forbidden } from '../request.ts';

/**
 * An owner is set by whoever may delete the object (the owner's end will be its end), and one that waits for it only by
 * whoever may write the owner's finalizers.
 */
export function ownerReferencesPermissionEnforcement(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'OwnerReferencesPermissionEnforcement',
    handles: ({ operation, kind, subresource }) =>
      (operation === 'CREATE' || operation === 'UPDATE') &&
      !(kind.group === '' && kind.plural === 'pods' && subresource === 'status'),
    async validate(request) {
      const wanted = request.object?.metadata?.ownerReferences ?? [];
      const had = request.old?.metadata?.ownerReferences ?? [];
      if (deepEqual(wanted, had)) return;
      const { kind, subresource, name } = request;
      const deleting = await ask(authorizer, request, 'delete', kind, subresource, name);
      if (!deleting.allowed)
        throw forbidden(
          request,
          `cannot set an ownerRef on a resource you can't delete: ${deleting.reason}, ${deleting.error}`,
        );
      const blocking = wanted.filter(
        each =>
          each.blockOwnerDeletion === true && had.find(other => other.uid === each.uid)?.blockOwnerDeletion !== true,
      );
      if (blocking.length === 0) return;
      const everything = { group: '*', version: '*', plural: '*', namespaced: true };
      if ((await ask(authorizer, request, '*', everything, '', '')).allowed) return;
      for (const reference of blocking) {
        const owner = request.served?.find(reference.apiVersion, reference.kind);
        if (!owner)
          throw forbidden(
            request,
            `cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion ${reference.apiVersion} Kind ${reference.kind}: no matches for kind ${JSON.stringify(reference.kind)} in version ${JSON.stringify(reference.apiVersion)}`,
          );
        const finalizing = await ask(authorizer, request, 'update', owner, 'finalizers', reference.name);
        if (finalizing.allowed) continue;
        throw forbidden(
          request,
          `cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: ${finalizing.reason}, ${finalizing.error}`,
        );
      }
    },
  };
}

async function ask(
  authorizer: Authorizer,
  { user, namespace }: AdmissionRequest,
  verb: string,
  { group, version, plural, namespaced }: Pick<Kind, 'group' | 'version' | 'plural' | 'namespaced'>,
  subresource: string,
  name: string,
) {
  const { decision, reason, error } = await authorizer.authorize({
    user,
    verb,
    resourceRequest: true,
    path: '',
    group,
    version,
    resource: plural,
    subresource,
    // An owner is in the same namespace, or in none.
    namespace: namespaced ? namespace : '',
    name,
  });
  // As Go prints an error that is none.
  return { allowed: decision === 'allow', reason, error: error ?? '<nil>' };
}
