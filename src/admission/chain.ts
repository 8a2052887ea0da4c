import type { Authorizer } from '#auth/authorization/authorizer.ts';
import type { RbacWrite } from '#auth/authorization/escalation.ts';
import type { AdmissionPlugin } from './admission.ts';
import type { PluginConfiguration } from './configuration.ts';
import { alwaysDeny } from './plugins/always-deny.ts';
import { alwaysPullImages } from './plugins/always-pull-images.ts';
import {
  certificateApproval,
  certificateSigning,
  certificateSubjectRestriction,
  clusterTrustBundleAttest,
} from './plugins/certificates.ts';
import { defaultIngressClass } from './plugins/default-ingress-class.ts';
import { defaultStorageClass } from './plugins/default-storage-class.ts';
import { defaultTolerationSeconds } from './plugins/default-toleration-seconds.ts';
import { deviceAdminAccess } from './plugins/device-admin-access.ts';
import { denyServiceExternalIPs } from './plugins/deny-service-external-ips.ts';
import { eventRateLimit } from './plugins/event-rate-limit.ts';
import { extendedResourceToleration } from './plugins/extended-resource-toleration.ts';
import { imagePolicyWebhook } from './plugins/image-policy-webhook.ts';
import { limitPodHardAntiAffinityTopology } from './plugins/limit-pod-hard-anti-affinity-topology.ts';
import { limitRanger } from './plugins/limit-ranger.ts';
import { namespaceAutoProvision } from './plugins/namespace-auto-provision.ts';
import { namespaceExists } from './plugins/namespace-exists.ts';
import { namespaceLifecycle } from './plugins/namespace-lifecycle.ts';
import { nodeDeclaredFeatureValidator } from './plugins/node-declared-feature-validator.ts';
import { nodeRestriction } from './plugins/node-restriction.ts';
import { ownerReferencesPermissionEnforcement } from './plugins/owner-references-permission-enforcement.ts';
import { persistentVolumeClaimResize } from './plugins/persistent-volume-claim-resize.ts';
import { podNodeSelector } from './plugins/pod-node-selector.ts';
import { podResizeValidator } from './plugins/pod-resize-validator.ts';
import { podSecurity } from './plugins/pod-security.ts';
import { podTolerationRestriction } from './plugins/pod-toleration-restriction.ts';
import { podTopologyLabels } from './plugins/pod-topology-labels.ts';
import { priority } from './plugins/priority.ts';
import { rbacEscalation } from './plugins/rbac-escalation.ts';
import { resourceQuota } from './plugins/resource-quota.ts';
import { runtimeClass } from './plugins/runtime-class.ts';
import { serviceAccount } from './plugins/service-account.ts';
import { storageObjectInUseProtection } from './plugins/storage-object-in-use-protection.ts';
import { taintNodesByCondition } from './plugins/taint-nodes-by-condition.ts';
import type { PolicyMetrics } from './policies/metrics.ts';
import { mutatingPolicies, type PolicyContext, validatingPolicies } from './policies/plugins.ts';
import type { Sources } from './sources.ts';
import type { WebhookCaller } from './webhooks/call.ts';
import type { WebhookMetrics } from './webhooks/metrics.ts';
import { mutatingWebhooks, validatingWebhooks } from './webhooks/webhooks.ts';

export interface AdmissionOptions extends Sources {
  readonly authorizer: Authorizer;
  /** From `rbacEscalationCheck`; absent where everybody may do everything. */
  readonly checkEscalation?: (write: RbacWrite) => Promise<void>;
  /** From `httpsWebhookCaller`; absent where no webhooks are called. */
  readonly webhookCaller?: WebhookCaller;
  readonly webhookMetrics?: WebhookMetrics;
  readonly policyMetrics?: PolicyMetrics;
  /** Which plugins there are beside the default ones, or not; and what they are told. */
  readonly choice?: PluginChoice;
  readonly configuration?: PluginConfiguration;
}

export interface PluginChoice {
  readonly enabled: readonly string[];
  readonly disabled: readonly string[];
}

type Make = (options: AdmissionOptions, configuration: PluginConfiguration) => AdmissionPlugin | undefined;

interface Entry {
  readonly name: string;
  readonly isDefault: boolean;
  readonly make: Make;
}

const always = (name: string, make: Make): Entry => ({ name, isDefault: true, make });
const optional = (name: string, make: Make): Entry => ({ name, isDefault: false, make });
/** They look at kinds and fields that exist behind upstream's alpha gates alone: without those there is nothing to do. */
const gated = (name: string): Entry => always(name, () => undefined);

/**
 * The plugins in upstream's order: first what makes sure of namespace and defaults, then what judges the whole object, then
 * webhooks, and quota last, so that nothing is charged for a request that another plugin refuses.
 */
const table: readonly Entry[] = [
  // It has no meaning any more upstream either.
  optional('AlwaysAdmit', () => undefined),
  optional('NamespaceAutoProvision', options => namespaceAutoProvision(options)),
  always('NamespaceLifecycle', options => namespaceLifecycle(options)),
  optional('NamespaceExists', options => namespaceExists(options)),
  optional('LimitPodHardAntiAffinityTopology', () => limitPodHardAntiAffinityTopology),
  always('LimitRanger', options => limitRanger(options)),
  always('ServiceAccount', options => serviceAccount(options)),
  // Off by default upstream, and on in every cluster: kubeadm turns it on.
  always('NodeRestriction', options => nodeRestriction(options)),
  always('TaintNodesByCondition', () => taintNodesByCondition),
  optional('AlwaysPullImages', () => alwaysPullImages),
  optional('ImagePolicyWebhook', (options, { imagePolicy }) => imagePolicy && imagePolicyWebhook(options, imagePolicy)),
  always('PodSecurity', (options, { podSecurity: settings }) => podSecurity(options, settings)),
  optional('PodNodeSelector', (options, { podNodeSelectors }) => podNodeSelector(options, podNodeSelectors)),
  always('Priority', options => priority(options)),
  always('DefaultTolerationSeconds', (_options, { tolerationSeconds }) => defaultTolerationSeconds(tolerationSeconds)),
  optional('PodTolerationRestriction', (options, { podTolerations }) =>
    podTolerationRestriction(options, podTolerations),
  ),
  optional('EventRateLimit', (options, { eventLimits = [] }) => eventRateLimit(options, eventLimits)),
  optional('ExtendedResourceToleration', () => extendedResourceToleration),
  always('DefaultStorageClass', options => defaultStorageClass(options)),
  always('StorageObjectInUseProtection', () => storageObjectInUseProtection),
  gated('PodGroupProtection'),
  optional('OwnerReferencesPermissionEnforcement', ({ authorizer }) =>
    ownerReferencesPermissionEnforcement(authorizer),
  ),
  always('PersistentVolumeClaimResize', options => persistentVolumeClaimResize(options)),
  always('RuntimeClass', options => runtimeClass(options)),
  always('CertificateApproval', ({ authorizer }) => certificateApproval(authorizer)),
  always('CertificateSigning', ({ authorizer }) => certificateSigning(authorizer)),
  always('ClusterTrustBundleAttest', ({ authorizer }) => clusterTrustBundleAttest(authorizer)),
  always('CertificateSubjectRestriction', () => certificateSubjectRestriction),
  always('DefaultIngressClass', options => defaultIngressClass(options)),
  optional('DenyServiceExternalIPs', () => denyServiceExternalIPs),
  always('PodTopologyLabels', options => podTopologyLabels(options)),
  gated('PodGroupWorkloadExists'),
  always('NodeDeclaredFeatureValidator', options => nodeDeclaredFeatureValidator(options)),
  gated('JobValidation'),
  always('PodResizeValidator', options => podResizeValidator(options)),
  always('MutatingAdmissionPolicy', options => mutatingPolicies(policyContext(options))),
  always('MutatingAdmissionWebhook', options => {
    const { webhookCaller: caller, authorizer, webhookMetrics: metrics } = options;
    return caller && mutatingWebhooks(options, caller, { authorizer, metrics });
  }),
  always('ValidatingAdmissionPolicy', options => validatingPolicies(policyContext(options))),
  always('ValidatingAdmissionWebhook', options => {
    const { webhookCaller: caller, authorizer, webhookMetrics: metrics } = options;
    return caller && validatingWebhooks(options, caller, { authorizer, metrics });
  }),
  always('ResourceQuota', (options, { limitedResources }) => resourceQuota(options, limitedResources)),
  optional('AlwaysDeny', () => alwaysDeny),
];

function policyContext(options: AdmissionOptions): PolicyContext {
  return { sources: options, authorizer: options.authorizer, metrics: options.policyMetrics };
}

/** For a test that compares them with what the flags know. */
export const namesInTable: readonly string[] = table.map(({ name }) => name);

/** The plugins of a server, in order. */
export function admissionChain(options: AdmissionOptions): readonly AdmissionPlugin[] {
  const { checkEscalation, choice = { enabled: [], disabled: [] }, configuration = {} } = options;
  checkPluginChoice(choice);
  const chosen = table.filter(
    ({ name, isDefault }) => choice.enabled.includes(name) || (isDefault && !choice.disabled.includes(name)),
  );
  return [
    // In upstream these are part of the storage of the kinds: nobody can turn them off.
    ...(checkEscalation ? [rbacEscalation(checkEscalation)] : []),
    deviceAdminAccess(options),
    ...chosen.flatMap(({ make }) => make(options, configuration) ?? []),
  ];
}

/** Throws a sentence for plugins that are wanted and not. */
function checkPluginChoice({ enabled, disabled }: PluginChoice): void {
  const both = enabled.filter(name => disabled.includes(name));
  if (both.length > 0)
    throw new Error(`[${both.join(' ')}] in enable-admission-plugins and disable-admission-plugins overlapped`);
}
