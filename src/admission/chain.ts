import type { Authorizer } from '#auth/authorization/authorizer.ts';
import type { RbacWrite } from '#auth/authorization/escalation.ts';
import type { AdmissionPlugin } from './admission.ts';
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from './plugins/certificates.ts';
import { defaultIngressClass } from './plugins/default-ingress-class.ts';
import { defaultStorageClass } from './plugins/default-storage-class.ts';
import { defaultTolerationSeconds } from './plugins/default-toleration-seconds.ts';
import { limitRanger } from './plugins/limit-ranger.ts';
import { namespaceLifecycle } from './plugins/namespace-lifecycle.ts';
import { nodeRestriction } from './plugins/node-restriction.ts';
import { persistentVolumeClaimResize } from './plugins/persistent-volume-claim-resize.ts';
import { podSecurity } from './plugins/pod-security.ts';
import { podTopologyLabels } from './plugins/pod-topology-labels.ts';
import { priority } from './plugins/priority.ts';
import { rbacEscalation } from './plugins/rbac-escalation.ts';
import { resourceQuota } from './plugins/resource-quota.ts';
import { runtimeClass } from './plugins/runtime-class.ts';
import { serviceAccount } from './plugins/service-account.ts';
import { storageObjectInUseProtection } from './plugins/storage-object-in-use-protection.ts';
import { taintNodesByCondition } from './plugins/taint-nodes-by-condition.ts';
import type { Sources } from './sources.ts';
import type { WebhookCaller } from './webhooks/call.ts';
import { mutatingWebhooks, validatingWebhooks } from './webhooks/webhooks.ts';

export interface AdmissionOptions extends Sources {
  readonly authorizer: Authorizer;
  /** From `rbacEscalationCheck`; absent where everybody may do everything. */
  readonly checkEscalation?: (write: RbacWrite) => Promise<void>;
  /** From `httpsWebhookCaller`; absent where no webhooks are called. */
  readonly webhookCaller?: WebhookCaller;
}

/**
 * The plugins in upstream's order: first what makes sure of namespace and defaults, then what judges the whole object,
 * then webhooks, and quota last, so that nothing is charged for a request that another plugin refuses.
 */
export function admissionChain(options: AdmissionOptions): readonly AdmissionPlugin[] {
  const { authorizer, checkEscalation, webhookCaller } = options;
  return [
    namespaceLifecycle(options),
    ...(checkEscalation ? [rbacEscalation(checkEscalation)] : []),
    limitRanger(options),
    serviceAccount(options),
    nodeRestriction(options),
    taintNodesByCondition,
    podSecurity(options),
    priority(options),
    defaultTolerationSeconds,
    defaultStorageClass(options),
    storageObjectInUseProtection,
    persistentVolumeClaimResize(options),
    runtimeClass(options),
    certificateApproval(authorizer),
    certificateSigning(authorizer),
    certificateSubjectRestriction,
    defaultIngressClass(options),
    podTopologyLabels(options),
    ...(webhookCaller ? [mutatingWebhooks(options, webhookCaller), validatingWebhooks(options, webhookCaller)] : []),
    resourceQuota(options),
  ];
}
