import { seededRandom } from '#base/random.ts';
import { DaemonSet } from '#api/apps/v1/daemon-set.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import { HorizontalPodAutoscaler } from '#api/autoscaling/v2/horizontal-pod-autoscaler.ts';
import { CronJob } from '#api/batch/v1/cron-job.ts';
import { Job } from '#api/batch/v1/job.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { CertificateSigningRequest } from '#api/certificates/v1/certificate-signing-request.ts';
import { Endpoints } from '#api/core/v1/endpoints.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Node } from '#api/core/v1/node.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { Service } from '#api/core/v1/service.ts';
import type { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { ServiceCIDR } from '#api/networking/v1/service-cidr.ts';
import { ValidatingAdmissionPolicy } from '#api/admissionregistration/v1/validating-admission-policy.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { DeviceClass } from '#api/resource/v1/device-class.ts';
import { ResourceClaimTemplate } from '#api/resource/v1/resource-claim-template.ts';
import { ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import { StorageVersionMigration } from '#api/storagemigration/v1beta1/storage-version-migration.ts';
import { VolumeAttributesClass } from '#api/storage/v1/volume-attributes-class.ts';
import { isHealthy } from './always.ts';
import { certificateRequest, quick, specimens } from './specimens.ts';
import type { Scenario, Step, Trial } from './trial.ts';

const noChance = seededRandom(1);
const dayMs = 86_400_000;
const app = { app: 'web' };
const selector = { matchLabels: app };
const template = { metadata: { labels: app }, spec: quick };
const rolled = {
  metadata: { labels: app },
  spec: { ...quick, containers: [{ ...quick.containers[0], image: 'image:2' }] },
};
const work = { metadata: { labels: app }, spec: { ...quick, restartPolicy: 'Never' } };

/** Makes an object in the namespace of the trial, or of the cluster. */
function made<Type extends ApiObject>(kind: Kind<Type>, name: string, body: object, namespace?: string) {
  return ({ user, namespace: own }: Trial) =>
    user.create(
      kind,
      { ...body, metadata: { name, ...(body as { metadata?: object }).metadata } } as unknown as Partly<Type>,
      kind.namespaced ? { namespace: namespace ?? own } : {},
    );
}

function changed<Type extends ApiObject>(kind: Kind<Type>, name: string, patch: object, subresource?: string) {
  return ({ user, namespace }: Trial) =>
    user.patch(
      kind,
      name,
      { type: 'merge', patch },
      { ...(kind.namespaced && { namespace }), ...(subresource !== undefined && { subresource }) },
    );
}

function removed<Type extends ApiObject>(kind: Kind<Type>, name: string, propagationPolicy?: 'Foreground' | 'Orphan') {
  return ({ user, namespace }: Trial) =>
    user.delete(kind, name, { ...(kind.namespaced && { namespace }), ...(propagationPolicy && { propagationPolicy }) });
}

/** One after the other. */
function all(...acts: readonly Step['act'][]): Step['act'] {
  return async trial => {
    for (const act of acts) await act(trial);
  };
}

type Status = Readonly<Record<string, unknown>> | undefined;

function statusOf(trial: Trial, resource: string, name: string): Status {
  return (trial.one(resource, name) as { readonly status?: Status } | undefined)?.status;
}

/** The object has this status, as far as it is named. */
function status(resource: string, name: string, wanted: Readonly<Record<string, unknown>>): Step['missing'] {
  return trial => {
    const found = statusOf(trial, resource, name);
    const wrong = Object.entries(wanted).filter(([key, value]) => found?.[key] !== value);
    return wrong.length === 0 ? undefined : `${resource}/${name} has the status ${JSON.stringify(found)}`;
  };
}

function gone(resource: string, name: string): Step['missing'] {
  return trial => (trial.one(resource, name) === undefined ? undefined : `${resource}/${name} is still there`);
}

function holds(what: string, test: (trial: Trial) => boolean): Step['missing'] {
  return trial => (test(trial) ? undefined : what);
}

function both(...missing: readonly Step['missing'][]): Step['missing'] {
  return trial => missing.map(each => each(trial)).find(each => each !== undefined);
}

function pods(count: number, image?: string): Step['missing'] {
  return trial => {
    const found = trial.of<Pod>('pods');
    const good = found.filter(
      pod => isHealthy(pod) && (image === undefined || pod.spec?.containers[0]?.image === image),
    );
    return good.length === count && found.length === count
      ? undefined
      : `there are ${found.length} pods, ${good.length} as wanted, of ${count}`;
  };
}

function condition(resource: string, name: string, type: string): Step['missing'] {
  return trial => {
    const conditions = (statusOf(trial, resource, name)?.['conditions'] ?? []) as readonly {
      type: string;
      status: string;
    }[];
    return conditions.some(each => each.type === type && each.status === 'True')
      ? undefined
      : `${resource}/${name} is not ${type}: ${JSON.stringify(conditions)}`;
  };
}

const replicas = (count: number) => made(ReplicaSet, 'web', { spec: { replicas: count, selector, template } });

const claim = {
  spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'manual', resources: { requests: { storage: '1Gi' } } },
};
const volume = (name: string) => ({
  metadata: { name },
  spec: {
    accessModes: ['ReadWriteOnce'],
    storageClassName: 'manual',
    capacity: { storage: '1Gi' },
    hostPath: { path: '/simulated' },
    persistentVolumeReclaimPolicy: 'Retain',
  },
});
const ownVolume = ({ namespace }: Trial) => `volume-${namespace}`;
const madeVolume: Step['act'] = trial => made(PersistentVolume, ownVolume(trial), volume(ownVolume(trial)))(trial);

const request = (signerName: string) => ({
  spec: {
    request: certificateRequest,
    signerName,
    usages: ['digital signature', 'client auth'],
  },
});
const ownRequest = ({ namespace }: Trial) => `request-${namespace}`;
const approved = (type: 'Approved' | 'Denied') => (trial: Trial) =>
  changed(
    CertificateSigningRequest,
    ownRequest(trial),
    { status: { conditions: [{ type, status: 'True', reason: 'Simulated' }] } },
    'approval',
  )(trial);
const leavesRequest = [[CertificateSigningRequest as unknown as Kind, ownRequest]] as const;

/** What each controller has to get done, whatever happens to it; a controller that is not here fails the test. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  'service-account-controller': {
    steps: [
      {
        act: () => undefined,
        missing: holds('no account', trial => trial.one('serviceaccounts', 'default') !== undefined),
      },
      {
        act: removed(ServiceAccount, 'default'),
        missing: holds('no account', trial => trial.one('serviceaccounts', 'default') !== undefined),
      },
    ],
  },
  'serviceaccount-token-controller': {
    steps: [
      {
        act: all(
          made(ServiceAccount, 'robot', {}),
          made(Secret, 'token', {
            metadata: { annotations: { 'kubernetes.io/service-account.name': 'robot' } },
            type: 'kubernetes.io/service-account-token',
          }),
        ),
        missing: holds('no token', trial => trial.one<Secret>('secrets', 'token')?.data?.['token'] !== undefined),
      },
      { act: removed(ServiceAccount, 'robot'), missing: gone('secrets', 'token') },
    ],
  },
  'root-ca-cert-publisher': {
    steps: [
      {
        act: () => undefined,
        missing: holds('no authority', trial => trial.one('configmaps', 'kube-root-ca.crt') !== undefined),
      },
      {
        act: changed(ConfigMap, 'kube-root-ca.crt', { data: { 'ca.crt': 'another' } }),
        missing: holds(
          'another authority',
          trial => trial.one<ConfigMap>('configmaps', 'kube-root-ca.crt')?.data?.['ca.crt'] === 'certificate',
        ),
      },
    ],
  },
  'clusterrole-aggregation-controller': {
    leaves: [
      [ClusterRole as unknown as Kind, ({ namespace }) => `sum-${namespace}`],
      [ClusterRole as unknown as Kind, ({ namespace }) => `part-${namespace}`],
    ],
    steps: [
      {
        act: trial =>
          all(
            made(ClusterRole, `sum-${trial.namespace}`, {
              aggregationRule: { clusterRoleSelectors: [{ matchLabels: { part: trial.namespace } }] },
            }),
            made(ClusterRole, `part-${trial.namespace}`, {
              metadata: { labels: { part: trial.namespace } },
              rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
            }),
          )(trial),
        missing: holds(
          'no rules',
          trial =>
            trial.one<ClusterRole>('clusterroles.rbac.authorization.k8s.io', `sum-${trial.namespace}`)?.rules
              ?.length === 1,
        ),
      },
    ],
  },
  'certificatesigningrequest-approving-controller': {
    leaves: leavesRequest,
    steps: [
      {
        act: trial =>
          made(
            CertificateSigningRequest,
            ownRequest(trial),
            request('kubernetes.io/kube-apiserver-client-kubelet'),
          )(trial),
        missing: trial =>
          condition('certificatesigningrequests.certificates.k8s.io', ownRequest(trial), 'Approved')(trial),
      },
    ],
  },
  'certificatesigningrequest-signing-controller': {
    leaves: leavesRequest,
    steps: [
      {
        act: trial =>
          all(
            made(CertificateSigningRequest, ownRequest(trial), request('kubernetes.io/kube-apiserver-client')),
            approved('Approved'),
          )(trial),
        missing: holds(
          'no certificate',
          trial =>
            statusOf(trial, 'certificatesigningrequests.certificates.k8s.io', ownRequest(trial))?.['certificate'] !==
            undefined,
        ),
      },
    ],
  },
  'node-ipam-controller': {
    leaves: [[Node as unknown as Kind, ({ namespace }) => `node-${namespace}`]],
    steps: [
      {
        act: trial => made(Node, `node-${trial.namespace}`, {})(trial),
        missing: holds('no addresses', trial => {
          const nodes = trial.of<Node>('nodes');
          const ranges = new Set(nodes.map(({ spec }) => spec?.podCIDR ?? ''));
          return ranges.size === nodes.length && !ranges.has('');
        }),
      },
    ],
  },
  'deployment-controller': {
    steps: [
      {
        act: made(Deployment, 'web', {
          spec: {
            replicas: 3,
            selector,
            template,
            strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
          },
        }),
        missing: both(status('deployments.apps', 'web', { availableReplicas: 3 }), pods(3)),
      },
      {
        act: changed(Deployment, 'web', { spec: { template: rolled } }),
        missing: both(
          status('deployments.apps', 'web', { availableReplicas: 3, updatedReplicas: 3, replicas: 3 }),
          pods(3, 'image:2'),
          holds('two revisions', trial => trial.of('replicasets.apps').length === 2),
        ),
      },
      { act: changed(Deployment, 'web', { spec: { replicas: 1 } }), missing: pods(1, 'image:2') },
    ],
  },
  'replicaset-controller': {
    steps: [
      { act: replicas(3), missing: both(pods(3), status('replicasets.apps', 'web', { availableReplicas: 3 })) },
      {
        act: changed(ReplicaSet, 'web', { spec: { replicas: 1 } }),
        missing: both(pods(1), status('replicasets.apps', 'web', { availableReplicas: 1, replicas: 1 })),
      },
    ],
  },
  'replication-controller': {
    steps: [
      {
        act: made(ReplicationController, 'web', { spec: { replicas: 3, selector: app, template } }),
        missing: both(pods(3), status('replicationcontrollers', 'web', { availableReplicas: 3 })),
      },
      { act: changed(ReplicationController, 'web', { spec: { replicas: 1 } }), missing: pods(1) },
    ],
  },
  'statefulset-controller': {
    steps: [
      {
        act: made(StatefulSet, 'web', { spec: { replicas: 3, selector, template, serviceName: 'web' } }),
        missing: both(pods(3), status('statefulsets.apps', 'web', { readyReplicas: 3 })),
      },
      {
        act: changed(StatefulSet, 'web', { spec: { template: rolled } }),
        missing: both(pods(3, 'image:2'), status('statefulsets.apps', 'web', { updatedReplicas: 3 })),
      },
      { act: changed(StatefulSet, 'web', { spec: { replicas: 1 } }), missing: pods(1, 'image:2') },
    ],
  },
  'daemon-set-controller': {
    steps: [
      {
        act: made(DaemonSet, 'web', { spec: { selector, template } }),
        missing: both(pods(3), status('daemonsets.apps', 'web', { numberReady: 3 })),
      },
      {
        act: changed(DaemonSet, 'web', { spec: { template: rolled } }),
        missing: both(pods(3, 'image:2'), status('daemonsets.apps', 'web', { updatedNumberScheduled: 3 })),
      },
    ],
  },
  'cronjob-controller': {
    steps: [
      {
        act: made(CronJob, 'tick', {
          spec: { schedule: '* * * * *', concurrencyPolicy: 'Forbid', jobTemplate: { spec: { template: work } } },
        }),
        missing: holds('two ticks', trial => {
          const jobs = trial.of<Job>('jobs.batch');
          return jobs.length >= 2 && jobs.every(job => job.metadata.ownerReferences?.length === 1);
        }),
      },
      {
        act: changed(CronJob, 'tick', { spec: { suspend: true } }),
        missing: holds('at rest', trial =>
          (statusOf(trial, 'cronjobs.batch', 'tick')?.['active'] as readonly unknown[] | undefined)?.length
            ? false
            : true,
        ),
      },
    ],
  },
  'job-controller': {
    steps: [
      {
        act: made(Job, 'work', {
          spec: { completions: 4, parallelism: 2, completionMode: 'Indexed', template: work },
        }),
        missing: both(
          condition('jobs.batch', 'work', 'Complete'),
          status('jobs.batch', 'work', { succeeded: 4, completedIndexes: '0-3' }),
          holds('one pod an index', trial => trial.of('pods').length === 4),
        ),
      },
      {
        act: made(Job, 'more', { spec: { completions: 3, parallelism: 3, template: work } }),
        missing: both(
          condition('jobs.batch', 'more', 'Complete'),
          status('jobs.batch', 'more', { succeeded: 3 }),
          holds('three pods more', trial => trial.of('pods').length === 7),
        ),
      },
    ],
  },
  'job-orphans-controller': {
    steps: [
      {
        act: made(Pod, 'orphan', {
          metadata: { finalizers: ['batch.kubernetes.io/job-tracking'] },
          spec: { ...quick, restartPolicy: 'Never' },
        }),
        missing: holds('held', trial => trial.one<Pod>('pods', 'orphan')?.metadata.finalizers?.length === undefined),
      },
    ],
  },
  'horizontal-pod-autoscaler': {
    steps: [
      {
        act: all(
          made(Deployment, 'web', { spec: { replicas: 1, selector, template } }),
          made(HorizontalPodAutoscaler, 'web', {
            spec: {
              scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
              minReplicas: 3,
              maxReplicas: 5,
            },
          }),
        ),
        missing: pods(3),
      },
    ],
  },
  'persistent-volume-binder': {
    leaves: [[PersistentVolume as unknown as Kind, ownVolume]],
    steps: [
      {
        act: all(madeVolume, made(PersistentVolumeClaim, 'data', claim)),
        missing: both(status('persistentvolumeclaims', 'data', { phase: 'Bound' }), trial =>
          status('persistentvolumes', ownVolume(trial), { phase: 'Bound' })(trial),
        ),
      },
    ],
  },
  'persistent-volume-controller': {
    leaves: [[PersistentVolume as unknown as Kind, ownVolume]],
    steps: [
      {
        act: all(madeVolume, made(PersistentVolumeClaim, 'data', claim)),
        missing: trial => status('persistentvolumes', ownVolume(trial), { phase: 'Bound' })(trial),
      },
      {
        act: removed(PersistentVolumeClaim, 'data'),
        missing: trial => status('persistentvolumes', ownVolume(trial), { phase: 'Released' })(trial),
      },
    ],
  },
  'resourceclaim-controller': {
    steps: [
      {
        act: all(
          made(
            ResourceClaimTemplate,
            'one',
            specimens['resourceclaimtemplates.resource.k8s.io']?.(noChance, 'one', '') ?? {},
          ),
          made(Pod, 'user', {
            spec: { ...quick, resourceClaims: [{ name: 'one', resourceClaimTemplateName: 'one' }] },
          }),
        ),
        missing: holds('one claim, and the pod knows it', trial => {
          const claims = trial.of('resourceclaims.resource.k8s.io');
          const known = trial.one<Pod>('pods', 'user')?.status?.resourceClaimStatuses?.[0]?.resourceClaimName;
          return claims.length === 1 && known === claims[0]?.metadata.name;
        }),
      },
      {
        act: removed(Pod, 'user'),
        missing: holds('no claim', trial => trial.of('resourceclaims.resource.k8s.io').length === 0),
      },
    ],
  },
  'device-taint-eviction-controller': {
    leaves: [
      [ResourceSlice as unknown as Kind, ({ namespace }) => `slice-${namespace}`],
      [DeviceClass as unknown as Kind, ({ namespace }) => `class-${namespace}`],
    ],
    steps: [
      {
        act: trial =>
          all(
            made(DeviceClass, `class-${trial.namespace}`, { spec: {} }),
            made(ResourceSlice, `slice-${trial.namespace}`, slice(trial, [])),
            made(ResourceClaimTemplate, 'one', {
              spec: {
                spec: {
                  devices: { requests: [{ name: 'one', exactly: { deviceClassName: `class-${trial.namespace}` } }] },
                },
              },
            }),
            made(Pod, 'user', {
              spec: { ...quick, resourceClaims: [{ name: 'one', resourceClaimTemplateName: 'one' }] },
            }),
          )(trial),
        missing: pods(1),
      },
      {
        act: trial =>
          changed(
            ResourceSlice,
            `slice-${trial.namespace}`,
            slice(trial, [{ key: 'broken', effect: 'NoExecute' }]),
          )(trial),
        missing: gone('pods', 'user'),
      },
    ],
  },
  'endpointslice-controller': {
    steps: [
      {
        act: all(made(Service, 'web', { spec: { selector: app, ports: [{ port: 80 }] } }), replicas(3)),
        missing: holds('three endpoints', trial => endpointsIn(trial, 'endpointslice-controller.k8s.io') === 3),
      },
      {
        act: changed(ReplicaSet, 'web', { spec: { replicas: 1 } }),
        missing: holds('one endpoint', trial => endpointsIn(trial, 'endpointslice-controller.k8s.io') === 1),
      },
    ],
  },
  'endpoint-controller': {
    steps: [
      {
        act: all(made(Service, 'web', { spec: { selector: app, ports: [{ port: 80 }] } }), replicas(3)),
        missing: holds('three addresses', trial => addressesOf(trial) === 3),
      },
      { act: removed(Service, 'web'), missing: gone('endpoints', 'web') },
    ],
  },
  'endpointslicemirroring-controller': {
    steps: [
      {
        act: all(
          made(Service, 'web', { spec: { ports: [{ port: 80 }] } }),
          made(Endpoints, 'web', { subsets: [{ addresses: [{ ip: '10.1.0.9' }], ports: [{ port: 80 }] }] }),
        ),
        missing: holds(
          'a mirrored endpoint',
          trial => endpointsIn(trial, 'endpointslicemirroring-controller.k8s.io') === 1,
        ),
      },
      {
        act: removed(Endpoints, 'web'),
        missing: holds('nothing mirrored', trial => trial.of('endpointslices.discovery.k8s.io').length === 0),
      },
    ],
  },
  'service-cidrs-controller': {
    steps: [
      {
        act: trial => made(ServiceCIDR, `range-${trial.namespace}`, { spec: { cidrs: ['10.98.0.0/24'] } })(trial),
        missing: trial => condition('servicecidrs.networking.k8s.io', `range-${trial.namespace}`, 'Ready')(trial),
      },
      {
        act: trial => removed(ServiceCIDR, `range-${trial.namespace}`)(trial),
        missing: trial => gone('servicecidrs.networking.k8s.io', `range-${trial.namespace}`)(trial),
      },
    ],
  },
  'resourcequota-controller': {
    steps: [
      {
        act: all(
          made(ResourceQuota, 'most', { spec: { hard: { pods: '5', 'count/configmaps': '9' } } }),
          made(ConfigMap, 'one', {}),
        ),
        missing: quotaCounts,
      },
      // The controller's count of pods has to make room, or the second set stays small.
      { act: replicas(3), missing: both(pods(3), quotaCounts) },
      { act: removed(ReplicaSet, 'web'), missing: both(pods(0), quotaCounts) },
    ],
  },
  'disruption-controller': {
    steps: [
      {
        act: all(replicas(3), made(PodDisruptionBudget, 'web', { spec: { selector, minAvailable: 2 } })),
        missing: both(
          pods(3),
          status('poddisruptionbudgets.policy', 'web', { currentHealthy: 3, disruptionsAllowed: 1, expectedPods: 3 }),
        ),
      },
      {
        act: changed(ReplicaSet, 'web', { spec: { replicas: 2 } }),
        missing: status('poddisruptionbudgets.policy', 'web', { currentHealthy: 2, disruptionsAllowed: 0 }),
      },
    ],
  },
  'validatingadmissionpolicy-status-controller': {
    leaves: [[ValidatingAdmissionPolicy as unknown as Kind, ({ namespace }) => `policy-${namespace}`]],
    steps: [
      {
        act: trial =>
          made(
            ValidatingAdmissionPolicy,
            `policy-${trial.namespace}`,
            specimens['validatingadmissionpolicies.admissionregistration.k8s.io']?.(noChance, '', '') ?? {},
          )(trial),
        missing: trial =>
          status('validatingadmissionpolicies.admissionregistration.k8s.io', `policy-${trial.namespace}`, {
            observedGeneration: 1,
          })(trial),
      },
    ],
  },
  'node-controller': {
    steps: [
      {
        act: ({ cluster }) => cluster.kill('hollow-1'),
        missing: holds('an unreachable node', trial => hasTaint(trial, 'node.kubernetes.io/unreachable')),
      },
      {
        act: ({ cluster }) => cluster.startProcess('hollow-1'),
        missing: both(
          condition('nodes', 'hollow-1', 'Ready'),
          holds('no taint', trial => !hasTaint(trial, 'node.kubernetes.io/unreachable')),
        ),
      },
    ],
  },
  'taint-eviction-controller': {
    steps: [
      {
        act: made(ReplicaSet, 'web', { spec: { replicas: 3, selector, template } }),
        missing: pods(3),
      },
      {
        act: changed(Node, 'hollow-1', { spec: { taints: [{ key: 'out', effect: 'NoExecute' }] } }),
        missing: both(
          pods(3),
          holds('nothing on the node', trial =>
            trial.of<Pod>('pods').every(({ spec }) => spec?.nodeName !== 'hollow-1'),
          ),
        ),
      },
      {
        act: changed(Node, 'hollow-1', { spec: { taints: null } }),
        missing: holds('no taint', trial => !hasTaint(trial, 'out')),
      },
    ],
  },
  'pod-garbage-collector': {
    steps: [
      {
        act: made(Pod, 'lost', { spec: { ...quick, nodeName: 'nowhere' } }),
        missing: gone('pods', 'lost'),
      },
    ],
  },
  'ttl-after-finished-controller': {
    steps: [
      {
        act: made(Job, 'work', { spec: { ttlSecondsAfterFinished: 1, template: work } }),
        missing: gone('jobs.batch', 'work'),
      },
    ],
  },
  'pvc-protection-controller': {
    steps: [
      {
        act: all(
          made(PersistentVolumeClaim, 'data', claim),
          made(Pod, 'user', {
            spec: {
              ...quick,
              nodeName: 'hollow-0',
              volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
            },
          }),
        ),
        missing: pods(1),
      },
      {
        act: removed(PersistentVolumeClaim, 'data'),
        missing: holds(
          'a claim that waits for its pod',
          trial => trial.one('persistentvolumeclaims', 'data')?.metadata.deletionTimestamp !== undefined,
        ),
      },
      { act: removed(Pod, 'user'), missing: gone('persistentvolumeclaims', 'data') },
    ],
  },
  'pv-protection-controller': {
    steps: [
      {
        act: madeVolume,
        missing: holds(
          'finalizer',
          trial => trial.one('persistentvolumes', ownVolume(trial))?.metadata.finalizers?.length === 1,
        ),
      },
      {
        act: trial => removed(PersistentVolume, ownVolume(trial))(trial),
        missing: trial => gone('persistentvolumes', ownVolume(trial))(trial),
      },
    ],
  },
  'volumeattributesclass-protection-controller': {
    steps: [
      {
        act: trial =>
          made(VolumeAttributesClass, `class-${trial.namespace}`, {
            driverName: 'example.com',
            parameters: { speed: 'high' },
          })(trial),
        missing: holds(
          'finalizer',
          trial =>
            trial.one('volumeattributesclasses.storage.k8s.io', `class-${trial.namespace}`)?.metadata.finalizers
              ?.length === 1,
        ),
      },
      {
        act: trial => removed(VolumeAttributesClass, `class-${trial.namespace}`)(trial),
        missing: trial => gone('volumeattributesclasses.storage.k8s.io', `class-${trial.namespace}`)(trial),
      },
    ],
  },
  'certificatesigningrequest-cleaner-controller': {
    aheadMs: 2 * dayMs,
    steps: [
      {
        act: trial =>
          all(
            made(CertificateSigningRequest, ownRequest(trial), request('example.com/signer')),
            approved('Denied'),
          )(trial),
        missing: trial => gone('certificatesigningrequests.certificates.k8s.io', ownRequest(trial))(trial),
      },
    ],
  },
  'token-cleaner': {
    steps: [
      {
        act: made(
          Secret,
          'bootstrap-token-abcdef',
          {
            type: 'bootstrap.kubernetes.io/token',
            stringData: {
              'token-id': 'abcdef',
              'token-secret': '0123456789abcdef',
              expiration: '2025-01-01T00:00:00Z',
            },
          },
          'kube-system',
        ),
        missing: holds(
          'no token',
          ({ cluster }) => !cluster.history.of('secrets').has('kube-system/bootstrap-token-abcdef'),
        ),
      },
    ],
  },
  'legacy-service-account-token-cleaner': {
    aheadMs: 800 * dayMs,
    leaves: [
      [ConfigMap as unknown as Kind, () => 'kube-apiserver-legacy-service-account-token-tracking', 'kube-system'],
    ],
    steps: [
      {
        act: all(
          made(
            ConfigMap,
            'kube-apiserver-legacy-service-account-token-tracking',
            { data: { since: '2025-12-01' } },
            'kube-system',
          ),
          made(ServiceAccount, 'robot', { secrets: [{ name: 'token' }] }),
          made(Secret, 'token', {
            metadata: { annotations: { 'kubernetes.io/service-account.name': 'robot' } },
            type: 'kubernetes.io/service-account-token',
          }),
        ),
        missing: holds(
          'marked',
          trial =>
            trial.one<Secret>('secrets', 'token')?.metadata.labels?.['kubernetes.io/legacy-token-invalid-since'] !==
            undefined,
        ),
      },
      {
        act: changed(Secret, 'token', {
          metadata: { labels: { 'kubernetes.io/legacy-token-invalid-since': '2026-01-01' } },
        }),
        missing: gone('secrets', 'token'),
      },
    ],
  },
  'namespace-controller': {
    steps: [
      {
        act: all(replicas(2), made(ConfigMap, 'one', {}), made(Service, 'web', { spec: { ports: [{ port: 80 }] } })),
        missing: pods(2),
      },
      {
        act: ({ user, namespace }) => user.delete(Namespace, namespace),
        missing: holds('an empty place', trial =>
          trial.of('namespaces').every(each => each.metadata.name !== trial.namespace),
        ),
      },
    ],
  },
  'storage-version-migrator-controller': {
    leaves: [[StorageVersionMigration as unknown as Kind, ({ namespace }) => `move-${namespace}`]],
    steps: [
      {
        act: trial =>
          all(
            made(ConfigMap, 'one', {}),
            made(ConfigMap, 'two', {}),
            made(StorageVersionMigration, `move-${trial.namespace}`, {
              spec: { resource: { group: '', resource: 'configmaps' } },
            }),
          )(trial),
        missing: trial =>
          condition(
            'storageversionmigrations.storagemigration.k8s.io',
            `move-${trial.namespace}`,
            'MigrationSucceeded',
          )(trial),
      },
    ],
  },
  'generic-garbage-collector': {
    steps: [
      { act: made(Deployment, 'web', { spec: { replicas: 2, selector, template } }), missing: pods(2) },
      {
        act: removed(Deployment, 'web', 'Foreground'),
        missing: both(
          gone('deployments.apps', 'web'),
          pods(0),
          holds('no set', trial => trial.of('replicasets.apps').length === 0),
        ),
      },
      { act: made(Deployment, 'left', { spec: { replicas: 1, selector, template } }), missing: pods(1) },
      {
        act: removed(Deployment, 'left', 'Orphan'),
        missing: both(
          gone('deployments.apps', 'left'),
          pods(1),
          holds('a set of nobody', trial =>
            trial.of('replicasets.apps').every(each => !each.metadata.ownerReferences?.length),
          ),
        ),
      },
    ],
  },
};

function slice({ namespace }: Trial, taints: readonly object[]) {
  return {
    spec: {
      driver: 'example.com',
      nodeName: 'hollow-0',
      pool: { name: `pool-${namespace}`, generation: 1, resourceSliceCount: 1 },
      devices: [{ name: 'device-0', ...(taints.length > 0 && { taints }) }],
    },
  };
}

function endpointsIn(trial: Trial, by: string): number {
  return trial
    .of<EndpointSlice>('endpointslices.discovery.k8s.io')
    .filter(({ metadata }) => metadata.labels?.['endpointslice.kubernetes.io/managed-by'] === by)
    .flatMap(({ endpoints }) => endpoints ?? []).length;
}

function addressesOf(trial: Trial): number {
  return trial.one<Endpoints>('endpoints', 'web')?.subsets?.flatMap(({ addresses = [] }) => addresses).length ?? 0;
}

function hasTaint(trial: Trial, key: string): boolean {
  return trial.one<Node>('nodes', 'hollow-1')?.spec?.taints?.some(taint => taint.key === key) ?? false;
}

function quotaCounts(trial: Trial): string | undefined {
  const used = (statusOf(trial, 'resourcequotas', 'most')?.['used'] ?? {}) as Readonly<Record<string, string>>;
  const there = { pods: trial.of('pods').length, 'count/configmaps': trial.of('configmaps').length };
  const isRight = Object.entries(there).every(([name, count]) => Number(used[name]) === count);
  return isRight ? undefined : `the quota counts ${JSON.stringify(used)} of ${JSON.stringify(there)}`;
}
