import assert from 'node:assert/strict';
import { test } from 'node:test';
import { altered, type Body, cells, created, mistakes, updateMistakes } from '../../kind-checks.ts';
import type { Kind } from '../../machinery/kind.ts';
import { Report } from '../../machinery/validation.ts';
import { Pod as PodKind } from './pod.ts';

const Pod = PodKind as unknown as Kind;
const minimal = {
  metadata: { name: 'web', namespace: 'default' },
  spec: { containers: [{ name: 'web', image: 'web' }] },
};

test('a pod gets its defaults', () => {
  const { spec, status } = created(Pod, minimal);
  assert.deepEqual(spec, {
    containers: [
      {
        name: 'web',
        image: 'web',
        imagePullPolicy: 'Always',
        resources: {},
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
      },
    ],
    dnsPolicy: 'ClusterFirst',
    enableServiceLinks: true,
    restartPolicy: 'Always',
    schedulerName: 'default-scheduler',
    securityContext: {},
    terminationGracePeriodSeconds: 30,
  });
  assert.deepEqual(status, { phase: 'Pending', qosClass: 'BestEffort' });
});

test('images with a tag are pulled once', () => {
  for (const [image, policy] of [
    ['web:1', 'IfNotPresent'],
    ['web:latest', 'Always'],
    ['registry:5000/web', 'Always'],
    [`web@sha256:${'a'.repeat(64)}`, 'IfNotPresent'],
  ] as const) {
    const pod = created(Pod, altered(minimal, 'spec.containers', [{ name: 'web', image }])) as typeof minimal;
    assert.equal((pod.spec.containers[0] as Body | undefined)?.['imagePullPolicy'], policy, image);
  }
});

test('limits are requests too, and decide on the quality of service', () => {
  const limits = { cpu: '1', memory: '1Gi' };
  const pod = created(Pod, altered(minimal, 'spec.containers', [{ name: 'web', image: 'web', resources: { limits } }]));
  const [container] = (pod['spec'] as { containers: { resources: unknown }[] }).containers;
  assert.deepEqual(container?.resources, { limits, requests: limits });
  assert.equal((pod['status'] as Body)['qosClass'], 'Guaranteed');
});

test('wrong pods are refused, each for what is wrong', () => {
  const container = { name: 'web', image: 'web' };
  const withContainer = (more: Body) => altered(minimal, 'spec.containers', [{ ...container, ...more }]);
  const at = 'spec.containers[0]';
  for (const [body, wanted] of [
    [minimal, []],
    [altered(minimal, 'spec.containers', []), ['spec.containers FieldValueRequired']],
    [altered(minimal, 'spec.restartPolicy', 'Sometimes'), ['spec.restartPolicy FieldValueNotSupported']],
    [altered(minimal, 'spec.dnsPolicy', 'None'), ['spec.dnsConfig FieldValueRequired']],
    [withContainer({ name: '' }), [`${at}.name FieldValueRequired`]],
    [withContainer({ name: 'No Such' }), [`${at}.name FieldValueInvalid`]],
    [withContainer({ image: '' }), [`${at}.image FieldValueRequired`]],
    [altered(minimal, 'spec.containers', [container, container]), ['spec.containers[1].name FieldValueDuplicate']],
    [withContainer({ ports: [{ containerPort: 0 }] }), [`${at}.ports[0].containerPort FieldValueRequired`]],
    [withContainer({ ports: [{ containerPort: 70_000 }] }), [`${at}.ports[0].containerPort FieldValueInvalid`]],
    [withContainer({ env: [{ name: '' }] }), [`${at}.env[0].name FieldValueRequired`]],
    [
      withContainer({ volumeMounts: [{ name: 'data', mountPath: '/d' }] }),
      [`${at}.volumeMounts[0].name FieldValueNotFound`],
    ],
    [
      withContainer({ resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } }),
      [`${at}.resources.requests FieldValueInvalid`],
    ],
    [withContainer({ livenessProbe: {} }), [`${at}.livenessProbe FieldValueRequired`]],
    [
      withContainer({ livenessProbe: { tcpSocket: { port: 80 }, successThreshold: 2 } }),
      [`${at}.livenessProbe.successThreshold FieldValueInvalid`],
    ],
    [altered(minimal, 'spec.volumes', [{ name: 'a' }, { name: 'a' }]), ['spec.volumes[1].name FieldValueDuplicate']],
    [
      altered(minimal, 'spec.volumes', [{ name: 'a', emptyDir: {}, hostPath: { path: '/' } }]),
      ['spec.volumes[0].hostPath FieldValueForbidden'],
    ],
    [
      altered(minimal, 'spec.volumes', [{ name: 'a', secret: {} }]),
      ['spec.volumes[0].secret.secretName FieldValueRequired'],
    ],
  ] as const) {
    assert.deepEqual(mistakes(Pod, body), wanted, JSON.stringify(body));
  }
});

test('of a pod little may change', () => {
  const image = altered(minimal, 'spec.containers', [{ name: 'web', image: 'web:2', imagePullPolicy: 'Always' }]);
  assert.deepEqual(updateMistakes(Pod, minimal, image), []);
  const node = altered(minimal, 'spec.nodeName', 'node-1');
  assert.deepEqual(updateMistakes(Pod, minimal, node), ['spec FieldValueForbidden']);
});

const running = {
  ...minimal,
  metadata: { ...minimal.metadata, creationTimestamp: '2026-01-01T00:00:00Z' },
  status: {
    phase: 'Running',
    containerStatuses: [{ name: 'web', ready: true, restartCount: 0, state: { running: {} } }],
  },
};
const withState = (state: Body, more: Body = {}) =>
  altered(running, 'status.containerStatuses', [{ name: 'web', ready: false, restartCount: 0, state, ...more }]);
const initSpec = altered(running, 'spec.initContainers', [{ name: 'setup', image: 'setup' }]);

test('the row of a pod tells how it is', () => {
  for (const [body, ready, status, restarts] of [
    [{ ...minimal, status: { phase: 'Pending' } }, '0/1', 'Pending', '0'],
    [running, '1/1', 'Running', '0'],
    [withState({ waiting: { reason: 'CrashLoopBackOff' } }), '0/1', 'CrashLoopBackOff', '0'],
    [withState({ terminated: { exitCode: 0, reason: 'Completed' } }), '0/1', 'Completed', '0'],
    [withState({ terminated: { exitCode: 1 } }), '0/1', 'ExitCode:1', '0'],
    [altered(running, 'metadata.deletionTimestamp', '2026-01-01T00:30:00Z'), '1/1', 'Terminating', '0'],
    [
      altered(initSpec, 'status', {
        phase: 'Pending',
        initContainerStatuses: [{ name: 'setup', state: { running: {} } }],
      }),
      '0/1',
      'Init:0/1',
      '0',
    ],
    [
      withState(
        { running: {} },
        {
          ready: true,
          restartCount: 2,
          lastState: { terminated: { exitCode: 1, finishedAt: '2026-01-01T00:55:00Z' } },
        },
      ),
      '1/1',
      'Running',
      '2 (5m ago)',
    ],
  ] as const) {
    assert.deepEqual(cells(Pod, body).slice(0, 4), ['web', ready, status, restarts], status);
  }
  assert.equal(cells(Pod, running)[4], '60m');
});

test('a report of the state keeps what it leaves out, and is judged', () => {
  const status = {
    qosClass: 'BestEffort',
    observedGeneration: 2,
    conditions: [{ type: 'Ready', status: 'True', observedGeneration: 3 }],
  };
  const old = { ...created(Pod, minimal), status };
  const given = { conditions: [{ type: 'Ready', status: 'False' }], podIPs: [{ ip: '10.0.0.1' }], podIP: '10.0.0.2' };
  const pod = { ...created(Pod, { ...minimal, status: given }), status: structuredClone(given) as Body };
  Pod.default?.(pod as never);
  Pod.prepareForStatusUpdate?.(pod as never, old as never, 0);
  assert.deepEqual(pod.status, {
    ...given,
    qosClass: 'BestEffort',
    observedGeneration: 2,
    conditions: [{ type: 'Ready', status: 'False', observedGeneration: 3 }],
    podIPs: [{ ip: '10.0.0.2' }],
  });
  const faults = (more: Body) => {
    const report = new Report();
    Pod.validateStatusUpdate?.({ ...pod, status: { ...pod.status, ...more } } as never, old as never, report);
    return report.errors.map(({ type, field }) => `${field} ${type}`);
  };
  assert.deepEqual(faults({}), []);
  assert.deepEqual(faults({ extendedResourceClaimStatus: { resourceClaimName: 'a', requestMappings: [] } }), [
    'status.extendedResourceClaimStatus.requestMappings FieldValueRequired',
  ]);
  const resources = [
    { resourceID: 'a', health: 'Ill' },
    { resourceID: 'a', health: 'Healthy', message: '' },
  ];
  assert.deepEqual(
    faults({ containerStatuses: [{ name: 'web', allocatedResourcesStatus: [{ name: 'x', resources }] }] }),
    [
      'status.containerStatuses[0].allocatedResourcesStatus[0].name FieldValueInvalid',
      'status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health FieldValueNotSupported',
      'status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].message FieldValueRequired',
      'status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].resourceID FieldValueDuplicate',
    ],
  );
  assert.deepEqual(faults({ ephemeralContainerStatuses: [{ name: 'e', allocatedResourcesStatus: [{ name: 'x' }] }] }), [
    'status.ephemeralContainerStatuses[0].allocatedResourcesStatus FieldValueForbidden',
  ]);
});
