import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Kind } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import type { Informers } from '#client/informers.ts';
import type { WorkQueueObserver } from '#client/workqueue.ts';
import { validatingAdmissionPolicyStatusController } from './admissionregistration/validating-admission-policy-status.ts';
import { daemonSetController } from './apps/daemon-set.ts';
import { deploymentController } from './apps/deployment.ts';
import { replicaSetController } from './apps/replica-set.ts';
import { statefulSetController } from './apps/stateful-set.ts';
import { horizontalPodAutoscalerController } from './autoscaling/horizontal-pod-autoscaler.ts';
import { cronJobController } from './batch/cron-job.ts';
import { jobOrphansController } from './batch/job-orphans.ts';
import { jobController } from './batch/job.ts';
import { ttlAfterFinishedController } from './batch/ttl-after-finished.ts';
import {
  certificateApprovingController,
  certificateCleaner,
  certificateSigningController,
} from './certificates/certificate-signing-request.ts';
import type { Controller, ControllerSettings } from './controller.ts';
import { endpointsController } from './core/endpoints.ts';
import { legacyTokenCleaner } from './core/legacy-token-cleaner.ts';
import { namespaceController } from './core/namespace.ts';
import { persistentVolumeClaimController } from './core/persistent-volume-claim.ts';
import { persistentVolumeController } from './core/persistent-volume.ts';
import { podGarbageCollector } from './core/pod-garbage.ts';
import { resourceQuotaController } from './core/resource-quota.ts';
import { replicationControllerController } from './core/replication-controller.ts';
import { rootCaController } from './core/root-ca.ts';
import { serviceAccountController } from './core/service-account.ts';
import { serviceAccountTokensController } from './core/service-account-tokens.ts';
import { tokenCleaner } from './core/token-cleaner.ts';
import {
  attributesClassProtectionController,
  claimProtectionController,
  volumeProtectionController,
} from './core/volume-protection.ts';
import { endpointSliceMirroringController } from './discovery/endpoint-slice-mirroring.ts';
import { endpointSliceController } from './discovery/endpoint-slice.ts';
import { garbageCollector } from './meta/garbage-collector.ts';
import { storageVersionMigrator } from './meta/storage-version-migrator.ts';
import { serviceCidrController } from './networking/service-cidr.ts';
import { nodeIpamController } from './node/node-ipam.ts';
import { nodeLifecycleController } from './node/node-lifecycle.ts';
import { taintEvictionController } from './node/taint-eviction.ts';
import { disruptionController } from './policy/disruption.ts';
import { clusterRoleAggregationController } from './rbac/cluster-role-aggregation.ts';
import { deviceTaintEvictionController } from './resource/device-taint-eviction.ts';
import { resourceClaimController } from './resource/resource-claim.ts';

/**
 * Every controller, in the order of their start. They do not depend on it; it only makes the first second short: what pods
 * cannot be admitted without, then what makes pods, then what makes them reachable, then what tidies up.
 */
export const controllers: readonly Controller[] = [
  // A pod needs its namespace's service account and the certificate authority.
  serviceAccountController,
  serviceAccountTokensController,
  rootCaController,
  // Permissions that others wait for.
  clusterRoleAggregationController,
  // A node needs its certificate to come, and its addresses before it is ready.
  certificateApprovingController,
  certificateSigningController,
  nodeIpamController,
  // From the owner of pods to the pods.
  deploymentController,
  replicaSetController,
  replicationControllerController,
  statefulSetController,
  daemonSetController,
  cronJobController,
  jobController,
  jobOrphansController,
  horizontalPodAutoscalerController,
  // Storage that pods wait for.
  persistentVolumeClaimController,
  persistentVolumeController,
  resourceClaimController,
  // Who serves a service.
  endpointSliceController,
  endpointsController,
  endpointSliceMirroringController,
  serviceCidrController,
  // How much there may be, and how many of them may go.
  resourceQuotaController,
  disruptionController,
  // What policies say of themselves.
  validatingAdmissionPolicyStatusController,
  // Nodes that fail, and the pods on them.
  nodeLifecycleController,
  taintEvictionController,
  deviceTaintEvictionController,
  podGarbageCollector,
  ttlAfterFinishedController,
  claimProtectionController,
  volumeProtectionController,
  attributesClassProtectionController,
  certificateCleaner,
  tokenCleaner,
  legacyTokenCleaner,
  // What is to go. The collector last: it watches every kind, also those that the others have read by then.
  namespaceController,
  storageVersionMigrator,
  garbageCollector,
];

/** The names of those that are there because of a kind that is served. */
export function optionalControllers(kinds: readonly Kind[]): readonly string[] {
  return controllers.filter(({ optional }) => optional && kinds.includes(optional)).map(({ name }) => name);
}

export interface StartControllersOptions {
  readonly client: Client;
  readonly informers: Informers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** A client with the identity of a controller's own service account; without it all share `client`. */
  readonly clientFor?: (account: string) => Client;
  readonly settings?: Partial<ControllerSettings>;
  readonly observe?: (queue: string) => WorkQueueObserver;
  /** Whether a kind is served that is not by default. */
  readonly serves?: (kind: Kind) => boolean;
  /** Only the controllers with these names. */
  readonly only?: readonly string[];
  /** All but the controllers with these names. */
  readonly except?: readonly string[];
}

/** Upstream's defaults. */
export const defaultSettings: ControllerSettings = {
  clusterCidrs: ['10.244.0.0/16'],
  nodeCidrPrefixLengthV4: 24,
  nodeCidrPrefixLengthV6: 64,
  caCertPem: '',
  signer: undefined,
  accountToken: undefined,
  nodeMonitorGraceMs: 50_000,
  terminatedPodsMax: 12_500,
};

/** Starts the controllers; disposing of the answer stops them, and resolves when the last write is done. */
export function startControllers(options: StartControllersOptions): AsyncDisposable {
  const { only, except = [], clientFor, settings, observe, client, serves, ...shared } = options;
  const unknown = [...(only ?? []), ...except].find(name => !controllers.some(controller => controller.name === name));
  if (unknown !== undefined)
    throw new Error(`cannot start controllers: there is none called ${JSON.stringify(unknown)}`);
  const started = controllers
    .filter(({ optional }) => !optional || serves?.(optional) === true)
    .filter(({ name }) => (only === undefined || only.includes(name)) && !except.includes(name))
    .map(controller =>
      controller.start({
        ...shared,
        client: clientFor?.(controller.account ?? controller.name) ?? client,
        settings: { ...defaultSettings, ...settings },
        ...(observe && { observe }),
      }),
    );
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(started.map(controller => controller[Symbol.asyncDispose]()));
    },
  };
}
