import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import { Role } from '#api/rbac/v1/role.ts';
import { RoleBinding } from '#api/rbac/v1/role-binding.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import type { Informers } from '#client/informers.ts';
import { RoleIndex, type RbacObject } from './rbac.ts';

/** An index of roles and bindings that follows the API. Complete once `synced` resolves. */
export function followRoles(informers: Informers): { readonly index: RoleIndex; readonly synced: Promise<void> } {
  const index = new RoleIndex();
  const followed = ([ClusterRole, Role, ClusterRoleBinding, RoleBinding] as const).map(kind => {
    const informer = informers.of<ApiObject>(kind);
    const set = (object: ApiObject) => index.set({ kind: kind.kind, object } as RbacObject);
    informer.subscribe({
      added: set,
      updated: set,
      deleted: ({ metadata }) =>
        index.remove(kind.kind as RbacObject['kind'], metadata.namespace ?? '', metadata.name ?? ''),
    });
    return informer.synced;
  });
  return { index, synced: Promise.all(followed).then(() => undefined) };
}
