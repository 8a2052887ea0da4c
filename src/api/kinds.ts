import type { Kind } from './machinery/kind.ts';
import { APIService } from './apiregistration/v1/api-service.ts';
import { Binding } from './core/v1/binding.ts';
import { CSIDriver } from './storage/v1/csi-driver.ts';
import { CSINode } from './storage/v1/csi-node.ts';
import { CSIStorageCapacity } from './storage/v1/csi-storage-capacity.ts';
import { CertificateSigningRequest } from './certificates/v1/certificate-signing-request.ts';
import { ClusterRole } from './rbac/v1/cluster-role.ts';
import { ClusterRoleBinding } from './rbac/v1/cluster-role-binding.ts';
import { ClusterTrustBundle as CertificatesV1Alpha1ClusterTrustBundle } from './certificates/v1alpha1/cluster-trust-bundle.ts';
import { ClusterTrustBundle as CertificatesV1Beta1ClusterTrustBundle } from './certificates/v1beta1/cluster-trust-bundle.ts';
import { ComponentStatus } from './core/v1/component-status.ts';
import { ConfigMap } from './core/v1/config-map.ts';
import { ControllerRevision } from './apps/v1/controller-revision.ts';
import { CronJob } from './batch/v1/cron-job.ts';
import { CustomResourceDefinition } from './apiextensions/v1/custom-resource-definition.ts';
import { DaemonSet } from './apps/v1/daemon-set.ts';
import { Deployment } from './apps/v1/deployment.ts';
import { DeviceClass as ResourceV1Beta1DeviceClass } from './resource/v1beta1/device-class.ts';
import { DeviceClass as ResourceV1Beta2DeviceClass } from './resource/v1beta2/device-class.ts';
import { DeviceClass as ResourceV1DeviceClass } from './resource/v1/device-class.ts';
import { DeviceTaintRule as ResourceV1Alpha3DeviceTaintRule } from './resource/v1alpha3/device-taint-rule.ts';
import { DeviceTaintRule as ResourceV1Beta2DeviceTaintRule } from './resource/v1beta2/device-taint-rule.ts';
import { EndpointSlice } from './discovery/v1/endpoint-slice.ts';
import { Endpoints } from './core/v1/endpoints.ts';
import { Event as CoreV1Event } from './core/v1/event.ts';
import { Event as EventsV1Event } from './events/v1/event.ts';
import { Eviction } from './policy/v1/eviction.ts';
import { FlowSchema } from './flowcontrol/v1/flow-schema.ts';
import { HorizontalPodAutoscaler as AutoscalingV1HorizontalPodAutoscaler } from './autoscaling/v1/horizontal-pod-autoscaler.ts';
import { HorizontalPodAutoscaler as AutoscalingV2HorizontalPodAutoscaler } from './autoscaling/v2/horizontal-pod-autoscaler.ts';
import { IPAddress as NetworkingV1Beta1IPAddress } from './networking/v1beta1/ip-address.ts';
import { IPAddress as NetworkingV1IPAddress } from './networking/v1/ip-address.ts';
import { Ingress } from './networking/v1/ingress.ts';
import { IngressClass } from './networking/v1/ingress-class.ts';
import { Job } from './batch/v1/job.ts';
import { Lease } from './coordination/v1/lease.ts';
import { LeaseCandidate as CoordinationV1Alpha2LeaseCandidate } from './coordination/v1alpha2/lease-candidate.ts';
import { LeaseCandidate as CoordinationV1Beta1LeaseCandidate } from './coordination/v1beta1/lease-candidate.ts';
import { LimitRange } from './core/v1/limit-range.ts';
import { LocalSubjectAccessReview } from './authorization/v1/local-subject-access-review.ts';
import { MutatingAdmissionPolicy as AdmissionregistrationV1Alpha1MutatingAdmissionPolicy } from './admissionregistration/v1alpha1/mutating-admission-policy.ts';
import { MutatingAdmissionPolicy as AdmissionregistrationV1Beta1MutatingAdmissionPolicy } from './admissionregistration/v1beta1/mutating-admission-policy.ts';
import { MutatingAdmissionPolicy as AdmissionregistrationV1MutatingAdmissionPolicy } from './admissionregistration/v1/mutating-admission-policy.ts';
import { MutatingAdmissionPolicyBinding as AdmissionregistrationV1Alpha1MutatingAdmissionPolicyBinding } from './admissionregistration/v1alpha1/mutating-admission-policy-binding.ts';
import { MutatingAdmissionPolicyBinding as AdmissionregistrationV1Beta1MutatingAdmissionPolicyBinding } from './admissionregistration/v1beta1/mutating-admission-policy-binding.ts';
import { MutatingAdmissionPolicyBinding as AdmissionregistrationV1MutatingAdmissionPolicyBinding } from './admissionregistration/v1/mutating-admission-policy-binding.ts';
import { MutatingWebhookConfiguration } from './admissionregistration/v1/mutating-webhook-configuration.ts';
import { Namespace } from './core/v1/namespace.ts';
import { NetworkPolicy } from './networking/v1/network-policy.ts';
import { Node } from './core/v1/node.ts';
import { PersistentVolume } from './core/v1/persistent-volume.ts';
import { PersistentVolumeClaim } from './core/v1/persistent-volume-claim.ts';
import { Pod } from './core/v1/pod.ts';
import { PodCertificateRequest } from './certificates/v1beta1/pod-certificate-request.ts';
import { PodDisruptionBudget } from './policy/v1/pod-disruption-budget.ts';
import { PodGroup } from './scheduling/v1alpha2/pod-group.ts';
import { PodTemplate } from './core/v1/pod-template.ts';
import { PriorityClass } from './scheduling/v1/priority-class.ts';
import { PriorityLevelConfiguration } from './flowcontrol/v1/priority-level-configuration.ts';
import { ReplicaSet } from './apps/v1/replica-set.ts';
import { ReplicationController } from './core/v1/replication-controller.ts';
import { ResourceClaim as ResourceV1Beta1ResourceClaim } from './resource/v1beta1/resource-claim.ts';
import { ResourceClaim as ResourceV1Beta2ResourceClaim } from './resource/v1beta2/resource-claim.ts';
import { ResourceClaim as ResourceV1ResourceClaim } from './resource/v1/resource-claim.ts';
import { ResourceClaimTemplate as ResourceV1Beta1ResourceClaimTemplate } from './resource/v1beta1/resource-claim-template.ts';
import { ResourceClaimTemplate as ResourceV1Beta2ResourceClaimTemplate } from './resource/v1beta2/resource-claim-template.ts';
import { ResourceClaimTemplate as ResourceV1ResourceClaimTemplate } from './resource/v1/resource-claim-template.ts';
import { ResourcePoolStatusRequest } from './resource/v1alpha3/resource-pool-status-request.ts';
import { ResourceQuota } from './core/v1/resource-quota.ts';
import { ResourceSlice as ResourceV1Beta1ResourceSlice } from './resource/v1beta1/resource-slice.ts';
import { ResourceSlice as ResourceV1Beta2ResourceSlice } from './resource/v1beta2/resource-slice.ts';
import { ResourceSlice as ResourceV1ResourceSlice } from './resource/v1/resource-slice.ts';
import { Role } from './rbac/v1/role.ts';
import { RoleBinding } from './rbac/v1/role-binding.ts';
import { RuntimeClass } from './node/v1/runtime-class.ts';
import { Scale } from './autoscaling/v1/scale.ts';
import { Secret } from './core/v1/secret.ts';
import { SelfSubjectAccessReview } from './authorization/v1/self-subject-access-review.ts';
import { SelfSubjectReview } from './authentication/v1/self-subject-review.ts';
import { SelfSubjectRulesReview } from './authorization/v1/self-subject-rules-review.ts';
import { Service } from './core/v1/service.ts';
import { ServiceAccount } from './core/v1/service-account.ts';
import { ServiceCIDR as NetworkingV1Beta1ServiceCIDR } from './networking/v1beta1/service-cidr.ts';
import { ServiceCIDR as NetworkingV1ServiceCIDR } from './networking/v1/service-cidr.ts';
import { StatefulSet } from './apps/v1/stateful-set.ts';
import { StorageClass } from './storage/v1/storage-class.ts';
import { StorageVersion } from './apiserverinternal/v1alpha1/storage-version.ts';
import { StorageVersionMigration } from './storagemigration/v1beta1/storage-version-migration.ts';
import { SubjectAccessReview } from './authorization/v1/subject-access-review.ts';
import { TokenRequest } from './authentication/v1/token-request.ts';
import { TokenReview } from './authentication/v1/token-review.ts';
import { ValidatingAdmissionPolicy } from './admissionregistration/v1/validating-admission-policy.ts';
import { ValidatingAdmissionPolicyBinding } from './admissionregistration/v1/validating-admission-policy-binding.ts';
import { ValidatingWebhookConfiguration } from './admissionregistration/v1/validating-webhook-configuration.ts';
import { VolumeAttachment } from './storage/v1/volume-attachment.ts';
import { VolumeAttributesClass as StorageV1Beta1VolumeAttributesClass } from './storage/v1beta1/volume-attributes-class.ts';
import { VolumeAttributesClass as StorageV1VolumeAttributesClass } from './storage/v1/volume-attributes-class.ts';
import { Workload } from './scheduling/v1alpha2/workload.ts';

/** Every built-in kind, in the order in which discovery lists groups and resources. */
export const kinds: readonly Kind[] = [
  Binding,
  ComponentStatus,
  ConfigMap,
  Endpoints,
  CoreV1Event,
  LimitRange,
  Namespace,
  Node,
  PersistentVolumeClaim,
  PersistentVolume,
  Pod,
  PodTemplate,
  ReplicationController,
  ResourceQuota,
  Secret,
  ServiceAccount,
  Service,
  APIService,
  ControllerRevision,
  DaemonSet,
  Deployment,
  ReplicaSet,
  StatefulSet,
  EventsV1Event,
  SelfSubjectReview,
  TokenReview,
  LocalSubjectAccessReview,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  AutoscalingV2HorizontalPodAutoscaler,
  AutoscalingV1HorizontalPodAutoscaler,
  CronJob,
  Job,
  CertificateSigningRequest,
  IngressClass,
  Ingress,
  NetworkingV1IPAddress,
  NetworkPolicy,
  NetworkingV1ServiceCIDR,
  PodDisruptionBudget,
  ClusterRoleBinding,
  ClusterRole,
  RoleBinding,
  Role,
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  StorageV1VolumeAttributesClass,
  AdmissionregistrationV1MutatingAdmissionPolicy,
  AdmissionregistrationV1MutatingAdmissionPolicyBinding,
  MutatingWebhookConfiguration,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhookConfiguration,
  CustomResourceDefinition,
  PriorityClass,
  Lease,
  RuntimeClass,
  EndpointSlice,
  ResourceV1DeviceClass,
  ResourceV1ResourceClaim,
  ResourceV1ResourceClaimTemplate,
  ResourceV1ResourceSlice,
  FlowSchema,
  PriorityLevelConfiguration,
  AdmissionregistrationV1Alpha1MutatingAdmissionPolicy,
  AdmissionregistrationV1Alpha1MutatingAdmissionPolicyBinding,
  AdmissionregistrationV1Beta1MutatingAdmissionPolicy,
  AdmissionregistrationV1Beta1MutatingAdmissionPolicyBinding,
  CertificatesV1Alpha1ClusterTrustBundle,
  CertificatesV1Beta1ClusterTrustBundle,
  PodCertificateRequest,
  CoordinationV1Alpha2LeaseCandidate,
  CoordinationV1Beta1LeaseCandidate,
  StorageVersion,
  NetworkingV1Beta1IPAddress,
  NetworkingV1Beta1ServiceCIDR,
  ResourceV1Alpha3DeviceTaintRule,
  ResourcePoolStatusRequest,
  ResourceV1Beta1DeviceClass,
  ResourceV1Beta1ResourceClaim,
  ResourceV1Beta1ResourceClaimTemplate,
  ResourceV1Beta1ResourceSlice,
  ResourceV1Beta2DeviceClass,
  ResourceV1Beta2DeviceTaintRule,
  ResourceV1Beta2ResourceClaim,
  ResourceV1Beta2ResourceClaimTemplate,
  ResourceV1Beta2ResourceSlice,
  PodGroup,
  Workload,
  StorageV1Beta1VolumeAttributesClass,
  StorageVersionMigration,
  TokenRequest,
  Scale,
  Eviction,
] as unknown as readonly Kind[];
