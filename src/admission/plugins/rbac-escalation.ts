import type { RbacWrite } from '#auth/authorization/escalation.ts';
import type { AdmissionPlugin } from '../admission.ts';

/** Nobody grants what they do not hold. Upstream does this in the storage of the four kinds. */
export function rbacEscalation(check: (write: RbacWrite) => Promise<void>): AdmissionPlugin {
  return {
    name: 'RBACEscalation',
    handles: ({ kind, operation, subresource }) =>
      kind.group === 'rbac.authorization.k8s.io' &&
      subresource === '' &&
      (operation === 'CREATE' || operation === 'UPDATE'),
    async validate({ operation, user, kind, namespace, name, object, old }) {
      // A create names nothing in its URL, so that rules for certain names do not apply.
      if (object) await check({ user, kind, namespace, name: operation === 'CREATE' ? '' : name, object, old });
    },
  };
}
