import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '#api/machinery/errors.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { PodLike } from '../pod-security/pod-parts.ts';
import { describeViolations, violationsOf, type Level } from '../pod-security/standards.ts';
import { admit, world } from '../sources.fixture.ts';
import { podSecurity } from './pod-security.ts';

const good = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

function pod(spec: object = {}, container: object = {}): PodLike {
  return {
    metadata: {},
    spec: { containers: [{ name: 'c', securityContext: good, ...container }], ...spec },
  } as unknown as PodLike;
}

function said(subject: PodLike, level: Level, version: 'latest' | number = 'latest'): string {
  return describeViolations(violationsOf(subject, { level, version }));
}

test('every rule of the baseline has a pod that breaks it, in upstream words', () => {
  const context = (securityContext: object) => pod({}, { securityContext: { ...good, ...securityContext } });
  const table: [PodLike, string][] = [
    [pod({ hostNetwork: true, hostPID: true }), 'host namespaces (hostNetwork=true, hostPID=true)'],
    [pod({ volumes: [{ name: 'v', hostPath: { path: '/' } }] }), 'hostPath volumes (volume "v")'],
    [
      pod(
        {},
        {
          ports: [
            { containerPort: 1, hostPort: 80 },
            { containerPort: 2, hostPort: 81 },
          ],
        },
      ),
      'hostPort (container "c" uses hostPorts 80, 81)',
    ],
    [context({ privileged: true }), 'privileged (container "c" must not set securityContext.privileged=true)'],
    [
      context({ capabilities: { add: ['NET_ADMIN', 'CHOWN'] } }),
      'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      context({ procMount: 'Unmasked' }),
      'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ],
    [
      context({ seLinuxOptions: { type: 'x', user: 'u' } }),
      'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "x"; user may not be set)',
    ],
    [
      context({ seccompProfile: { type: 'Unconfined' } }),
      'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ],
    [
      context({ appArmorProfile: { type: 'Unconfined' } }),
      'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
    ],
    [pod({ securityContext: { sysctls: [{ name: 'kernel.msgmax' }] } }), 'forbidden sysctls (kernel.msgmax)'],
    [
      pod({ securityContext: { windowsOptions: { hostProcess: true } } }),
      'hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)',
    ],
    [
      pod({}, { livenessProbe: { httpGet: { host: '1.2.3.4', port: 80 } } }),
      'probe or lifecycle host (container "c" uses probe or lifecycle host "1.2.3.4")',
    ],
  ];
  for (const [subject, wanted] of table) assert.equal(said(subject, 'baseline'), wanted);
  assert.equal(said(pod(), 'baseline'), '');
  assert.equal(said(pod({}, { securityContext: {} }), 'baseline'), '');
});

test('every rule of the restricted standard has a pod that breaks it', () => {
  assert.equal(said(pod(), 'restricted'), '');
  assert.equal(
    said(pod({}, { securityContext: undefined }), 'restricted'),
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  );
  assert.equal(
    said(
      pod({
        volumes: [
          { name: 'v', nfs: {} },
          { name: 'h', hostPath: {} },
        ],
      }),
      'restricted',
    ),
    'restricted volume types (volumes "v", "h" use restricted volume types "hostPath", "nfs")',
  );
  assert.equal(
    said(pod({ securityContext: { runAsUser: 0 } }), 'restricted'),
    'runAsUser=0 (pod must not set runAsUser=0)',
  );
  assert.match(
    said(pod({}, { securityContext: { ...good, capabilities: { drop: ['ALL'], add: ['CHOWN'] } } }), 'restricted'),
    /^unrestricted capabilities \(container "c" must not include "CHOWN"/,
  );
  assert.equal(
    said(
      pod(
        { securityContext: { runAsNonRoot: true, seccompProfile: { type: 'Localhost' } } },
        { securityContext: { ...good, runAsNonRoot: undefined, seccompProfile: undefined } },
      ),
      'restricted',
    ),
    '',
  );
});

test('all sorts of containers are held to it alike, and versions and user namespaces make their difference', () => {
  for (const sort of ['initContainers', 'ephemeralContainers'])
    assert.equal(
      said(pod({ [sort]: [{ name: 'x', securityContext: { ...good, privileged: true } }] }), 'baseline'),
      'privileged (container "x" must not set securityContext.privileged=true)',
    );
  const sysctl = pod({ securityContext: { sysctls: [{ name: 'net.ipv4.tcp_rmem' }] } });
  assert.equal(said(sysctl, 'baseline'), '');
  assert.equal(said(sysctl, 'baseline', 31), 'forbidden sysctls (net.ipv4.tcp_rmem)');
  assert.equal(
    said(pod({}, { securityContext: undefined }), 'restricted', 7),
    'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
  );
  const root = pod({ hostUsers: false }, { securityContext: { ...good, runAsNonRoot: undefined, runAsUser: 0 } });
  assert.equal(said(root, 'restricted'), '');
  assert.match(said(root, 'restricted', 34), /runAsNonRoot != true .*runAsUser=0/);
});

async function refusal(run: Promise<unknown>, code = 403): Promise<string> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.code, code);
    return error.message;
  }
  return assert.fail('was not refused');
}

const label = (name: string) => `pod-security.kubernetes.io/${name}`;
const bad = { metadata: { name: 'web' }, spec: { containers: [{ name: 'c', securityContext: { privileged: true } }] } };

test('a namespace enforces, warns and audits', async () => {
  using sources = world();
  const plugins = [podSecurity(sources)];
  const labels = {
    [label('enforce')]: 'baseline',
    [label('enforce-version')]: 'v1.30',
    [label('audit')]: 'restricted',
  };
  sources.put(Namespace, { metadata: { name: 'ns', labels } });
  sources.put(Namespace, { metadata: { name: 'open' } });
  sources.put(Namespace, { metadata: { name: 'warning', labels: { [label('warn')]: 'baseline' } } });
  await sources.settled();
  assert.equal(
    await refusal(admit(plugins, Pod, bad)),
    'pods "web" is forbidden: violates PodSecurity "baseline:v1.30": privileged (container "c" must not set securityContext.privileged=true)',
  );
  await admit(plugins, Pod, bad, { namespace: 'open' });
  const warned = await admit(plugins, Pod, bad, { namespace: 'warning' });
  assert.match(warned.warnings[0] ?? '', /^would violate PodSecurity "baseline:latest": privileged/);
  const plain = { metadata: { name: 'web' }, spec: { containers: [{ name: 'c' }] } };
  const audited = await admit(plugins, Pod, plain);
  assert.equal(audited.annotations[label('enforce-policy')], 'baseline:v1.30');
  assert.match(audited.annotations[label('audit-violations')] ?? '', /would violate PodSecurity "restricted:latest"/);
  // The author of a controller is warned of what its pods would break.
  const deployment = await admit(plugins, Deployment, { metadata: { name: 'd' }, spec: { template: bad } });
  assert.match(deployment.warnings[0] ?? '', /^would violate PodSecurity "baseline:v1.30"/);
  // What is there already stays; a new image is judged, and so is a new ephemeral container.
  await admit(plugins, Pod, bad, { operation: 'UPDATE', old: bad });
  const image = { ...bad, spec: { containers: [{ ...bad.spec.containers[0], image: 'new' }] } };
  await refusal(admit(plugins, Pod, image, { operation: 'UPDATE', old: bad }));
  const debugged = {
    ...plain,
    spec: { ...plain.spec, ephemeralContainers: [{ name: 'e', securityContext: { privileged: true } }] },
  };
  await refusal(admit(plugins, Pod, debugged, { operation: 'UPDATE', subresource: 'ephemeralcontainers', old: plain }));
});

test('a namespace with labels nobody can read is refused, a stricter one says whom it concerns', async () => {
  using sources = world();
  const plugins = [podSecurity(sources)];
  sources.put(Pod, { ...bad, metadata: { name: 'b', namespace: 'ns' } });
  sources.put(Pod, { ...bad, metadata: { name: 'a', namespace: 'ns' } });
  await sources.settled();
  const namespace = (labels: object) => ({ metadata: { name: 'ns', labels } });
  assert.equal(
    await refusal(admit(plugins, Namespace, namespace({ [label('enforce')]: 'severe' })), 422),
    'Namespace "ns" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "severe": must be one of privileged, baseline, restricted',
  );
  const stricter = namespace({ [label('enforce')]: 'baseline' });
  const { warnings } = await admit(plugins, Namespace, stricter, { operation: 'UPDATE', old: namespace({}) });
  assert.deepEqual(warnings, [
    'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
    'a (and 1 other pod): privileged',
  ]);
});
