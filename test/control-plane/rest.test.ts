import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { HorizontalPodAutoscaler } from '#api/autoscaling/v2/horizontal-pod-autoscaler.ts';
import { CertificateSigningRequest } from '#api/certificates/v1/certificate-signing-request.ts';
import { Lease } from '#api/coordination/v1/lease.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Endpoints } from '#api/core/v1/endpoints.ts';
import { Event } from '#api/core/v1/event.ts';
import { Node } from '#api/core/v1/node.ts';
import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { defineKind, type Partly, type Kind } from '#api/machinery/kind.ts';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { newKeyPem } from '#auth/certificates/certificate.ts';
import { issueAuthority } from '#auth/certificates/issue.ts';
import { certificateSigner } from '#auth/certificates/signer.ts';
import { systemClock } from '#base/clock.ts';
import { seededRandom } from '#base/random.ts';
import { createPrivateKey, createPublicKey, webcrypto, X509Certificate } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509';
import { startControlPlane } from './control-plane.ts';

const timeout = 20_000;
const namespace = 'default';

const pod = (name: string, more: Partly<Pod['spec']> = {}): Partly<Pod> => ({
  metadata: { name, namespace, labels: { app: name } },
  spec: { containers: [{ name: 'web', image: 'stays' }], ...more } as Partly<Pod['spec']>,
});

describe('nodes', () => {
  const node = (name: string, ready = 'True'): Partly<Node> => ({
    metadata: { name },
    status: { conditions: [{ type: 'Ready', status: ready, reason: 'KubeletReady' }] },
  });

  test('get a range of addresses each, and lose their taint when they are ready', { timeout }, async () => {
    await using plane = await startControlPlane({ settings: { clusterCidrs: ['10.32.0.0/16', 'fd00:1::/48'] } });
    await Promise.all(['a', 'b', 'c'].map(name => plane.client.create(Node, node(name))));
    const nodes = await plane.until(
      Node,
      all =>
        [...all.values()].every(({ spec }) => spec?.podCIDRs?.length === 2 && (spec.taints ?? []).length === 0) && [
          ...all.values(),
        ],
    );
    assert.deepEqual(nodes.map(({ spec }) => spec?.podCIDR).toSorted(), [
      '10.32.0.0/24',
      '10.32.1.0/24',
      '10.32.2.0/24',
    ]);
    assert.deepEqual(nodes.map(({ spec }) => spec?.podCIDRs?.[1]).toSorted(), [
      'fd00:1:0:1::/64',
      'fd00:1:0:2::/64',
      'fd00:1::/64',
    ]);
  });

  test('that fall silent are marked, and their pods evicted when they no longer tolerate it', { timeout }, async () => {
    await using plane = await startControlPlane({ nodes: false, settings: { nodeMonitorGraceMs: 300 } });
    const { client } = plane;
    await client.create(Node, node('silent'));
    await client.create(Node, node('alive'));
    await client.create(Lease, { metadata: { name: 'alive', namespace: 'kube-node-lease' }, spec: {} });
    let renewing = true;
    const renew = async () => {
      while (renewing) {
        const renewTime = new Date().toISOString().replace('Z', '000Z');
        await client.patch(
          Lease,
          'alive',
          { type: 'merge', patch: { spec: { renewTime } } },
          { namespace: 'kube-node-lease' },
        );
        await systemClock.sleep(50);
      }
    };
    const renewed = renew();
    const tolerations = [{ key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', tolerationSeconds: 0 }].map(
      each => ({ ...each, operator: 'Exists' }),
    );
    await client.create(Pod, pod('moves', { nodeName: 'silent', tolerations }));
    await client.create(
      Pod,
      pod('stays', { nodeName: 'silent', tolerations: [{ operator: 'Exists' }] } as Partly<Pod['spec']>),
    );
    const silent = await plane.until(Node, nodes => {
      const found = nodes.get('silent');
      return found?.spec?.taints?.some(({ effect }) => effect === 'NoExecute') && found;
    });
    const ready = silent.status?.conditions?.find(({ type }) => type === 'Ready');
    assert.deepEqual([ready?.status, ready?.reason], ['Unknown', 'NodeStatusUnknown']);
    assert.deepEqual(silent.spec?.taints?.map(({ key, effect }) => `${key} ${effect}`).toSorted(), [
      'node.kubernetes.io/unreachable NoExecute',
      'node.kubernetes.io/unreachable NoSchedule',
    ]);
    const evicted = await plane.until(Pod, pods => {
      const found = pods.get('default/moves');
      return found?.metadata.deletionTimestamp !== undefined && found;
    });
    assert.equal(
      evicted.status?.conditions?.find(({ type }) => type === 'DisruptionTarget')?.reason,
      'DeletionByTaintManager',
    );
    assert.equal(plane.informers.of(Pod).get('stays', namespace)?.metadata.deletionTimestamp, undefined);
    assert.deepEqual(plane.informers.of(Node).get('alive')?.spec?.taints ?? [], []);
    renewing = false;
    await renewed;
  });
});

describe('storage', () => {
  const claim: Partly<PersistentVolumeClaim> = {
    metadata: { name: 'data', namespace },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName: '', resources: { requests: { storage: '5Gi' } } },
  };
  const volume = (name: string, storage: string): Partly<PersistentVolume> => ({
    metadata: { name },
    spec: {
      capacity: { storage },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      hostPath: { path: `/tmp/${name}` },
    },
  });

  test('a claim gets the smallest volume that fits, which is released with it', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(PersistentVolume, volume('small', '1Gi'));
    await client.create(PersistentVolume, volume('large', '100Gi'));
    await client.create(PersistentVolume, volume('fits', '10Gi'));
    await plane.until(PersistentVolume, all => [...all.values()].every(({ status }) => status?.phase === 'Available'));
    await client.create(PersistentVolumeClaim, claim);
    const bound = await plane.until(PersistentVolumeClaim, all =>
      all.values().find(each => each.status?.phase === 'Bound'),
    );
    assert.equal(bound.spec?.volumeName, 'fits');
    assert.equal(bound.status?.capacity?.storage, '10Gi');
    await plane.until(PersistentVolume, all => all.get('fits')?.status?.phase === 'Bound');
    await client.create(
      Pod,
      pod('user', { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }] } as Partly<Pod['spec']>),
    );
    await plane.until(Pod, pods => pods.get('default/user')?.status?.phase === 'Running');
    await client.delete(PersistentVolumeClaim, 'data', { namespace });
    const held = plane.informers.of(PersistentVolumeClaim).get('data', namespace);
    assert.ok(held?.metadata.finalizers?.includes('kubernetes.io/pvc-protection'));
    await client.delete(Pod, 'user', { namespace });
    await plane.until(PersistentVolumeClaim, all => all.size === 0);
    await plane.until(PersistentVolume, all => all.get('fits')?.status?.phase === 'Released');
  });

  test('a claim that nothing fits says so', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(PersistentVolumeClaim, claim);
    const said = await plane.until(Event, events => events.values().find(({ reason }) => reason === 'FailedBinding'));
    assert.equal(said.message, 'no persistent volumes available for this claim and no storage class is set');
    assert.equal(said.source?.component, 'persistentvolume-controller');
  });
});

const Crate = defineKind({
  group: 'stable.example.com',
  version: 'v1',
  kind: 'Crate',
  plural: 'crates',
  namespaced: true,
  custom: true,
  type: '',
  fields: {},
}) as unknown as Kind;

describe('quotas, autoscaling and the rest', () => {
  test('a quota counts what is there', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(ResourceQuota, {
      metadata: { name: 'quota', namespace },
      spec: { hard: { pods: '5', 'requests.cpu': '2', 'count/configmaps': '10' } },
    });
    await client.create(ConfigMap, { metadata: { name: 'one', namespace } });
    const containers = [{ name: 'web', image: 'stays', resources: { requests: { cpu: '250m' } } }];
    await client.create(Pod, pod('a', { containers } as Partly<Pod['spec']>));
    await client.create(Pod, pod('b', { containers } as Partly<Pod['spec']>));
    const used = (pods: string, cpu: string) =>
      plane.until(ResourceQuota, all => {
        const { used: found = {} } = all.get('default/quota')?.status ?? {};
        return found.pods === pods && found['requests.cpu'] === cpu && found['count/configmaps'] === '2';
      });
    // The other one is kube-root-ca.crt.
    await used('2', '500m');
    await client.delete(Pod, 'a', { namespace });
    await used('1', '250m');
  });

  test('a quota counts custom resources, and creates in parallel do not overshoot', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    const counted = 'count/crates.stable.example.com';
    await client.create(ResourceQuota, { metadata: { name: 'quota', namespace }, spec: { hard: { [counted]: '3' } } });
    await client.create(CustomResourceDefinition, {
      metadata: { name: 'crates.stable.example.com' },
      spec: {
        group: 'stable.example.com',
        scope: 'Namespaced',
        names: { plural: 'crates', kind: 'Crate' },
        versions: [
          { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } as never } },
        ],
      },
    });
    await plane.until(CustomResourceDefinition, all =>
      all
        .get('crates.stable.example.com')
        ?.status?.conditions?.some(each => each.type === 'Established' && each.status === 'True'),
    );
    const used = (count: string) =>
      plane.until(ResourceQuota, all => all.get('default/quota')?.status?.used?.[counted] === count);
    await used('0');
    const outcomes = await Promise.allSettled(
      Array.from({ length: 9 }, (_, index) => client.create(Crate, { metadata: { name: `c${index}`, namespace } })),
    );
    const refused = outcomes.filter(each => each.status === 'rejected');
    assert.equal(refused.length, 6);
    assert.match(
      String(refused[0]?.reason),
      /crates\.stable\.example\.com "c\d" is forbidden: exceeded quota: quota, requested: count\/crates\.stable\.example\.com=1, used: count\/crates\.stable\.example\.com=3, limited: count\/crates\.stable\.example\.com=3/,
    );
    const { items } = await client.list(Crate, { namespace });
    assert.equal(items.length, 3);
    await client.delete(Crate, items[0]?.metadata.name ?? '', { namespace });
    await used('2');
  });

  test('an autoscaler without metrics says why it does nothing, and keeps the bounds', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(Deployment, {
      metadata: { name: 'web', namespace },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: 'web' } },
        template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: 'stays' }] } },
      },
    });
    await client.create(HorizontalPodAutoscaler, {
      metadata: { name: 'web', namespace },
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
        minReplicas: 3,
        maxReplicas: 5,
      },
    });
    await plane.until(Deployment, all => all.get('default/web')?.spec?.replicas === 3);
    const rescaled = await plane.until(Event, events =>
      events.values().find(({ reason }) => reason === 'SuccessfulRescale'),
    );
    assert.equal(rescaled.message, 'New size: 3; reason: Current number of replicas below Spec.MinReplicas');
  });

  test('an aggregated role has the rules of those it selects', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    const rule = { apiGroups: ['example.com'], resources: ['things'], verbs: ['get'] };
    await client.create(ClusterRole, {
      metadata: { name: 'sum' },
      aggregationRule: { clusterRoleSelectors: [{ matchLabels: { part: 'yes' } }] },
      rules: [],
    });
    await client.create(ClusterRole, { metadata: { name: 'part', labels: { part: 'yes' } }, rules: [rule] });
    await plane.until(ClusterRole, roles => roles.get('sum')?.rules?.length === 1);
    await client.delete(ClusterRole, 'part');
    await plane.until(ClusterRole, roles => (roles.get('sum')?.rules ?? []).length === 0);
  });

  test('hand-made Endpoints are mirrored into slices', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(Service, { metadata: { name: 'outside', namespace }, spec: { ports: [{ port: 80 }] } });
    await client.create(Endpoints, {
      metadata: { name: 'outside', namespace },
      subsets: [
        { addresses: [{ ip: '192.0.2.1' }], notReadyAddresses: [{ ip: '192.0.2.2' }], ports: [{ port: 8080 }] },
      ],
    });
    const slice = await plane.until(EndpointSlice, all => all.values().find(each => each.endpoints?.length === 2));
    assert.equal(
      slice.metadata.labels?.['endpointslice.kubernetes.io/managed-by'],
      'endpointslicemirroring-controller.k8s.io',
    );
    assert.deepEqual(
      slice.endpoints?.map(({ addresses, conditions }) => [addresses[0], conditions.ready]),
      [
        ['192.0.2.1', true],
        ['192.0.2.2', false],
      ],
    );
  });

  test('a bootstrap token that has expired is removed, another one is not', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    const token = (name: string, expiration: string): Partly<Secret> => ({
      metadata: { name, namespace: 'kube-system' },
      type: 'bootstrap.kubernetes.io/token',
      data: { expiration: Buffer.from(expiration).toString('base64') },
    });
    await client.create(Secret, token('bootstrap-token-new', '2999-01-01T00:00:00Z'));
    await client.create(Secret, token('bootstrap-token-old', '2020-01-01T00:00:00Z'));
    await plane.until(
      Secret,
      all => all.has('kube-system/bootstrap-token-new') && !all.has('kube-system/bootstrap-token-old'),
    );
  });

  test('what is approved is signed by the rules of its signer', { timeout }, async () => {
    const issuing = { clock: systemClock, random: seededRandom(3) };
    const authority = await issueAuthority({ commonName: 'kubernetes', validForMs: 86_400_000 }, issuing);
    await using plane = await startControlPlane({ settings: { signer: certificateSigner(authority, issuing) } });
    const { client } = plane;
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const key = createPrivateKey(newKeyPem());
    const request = await Pkcs10CertificateRequestGenerator.create({
      name: 'CN=alice,O=team',
      keys: {
        privateKey: key.toCryptoKey(algorithm, true, ['sign']) as webcrypto.CryptoKey,
        publicKey: createPublicKey(key).toCryptoKey(algorithm, true, ['verify']) as webcrypto.CryptoKey,
      },
      signingAlgorithm: algorithm,
    });
    const created = await client.create(CertificateSigningRequest, {
      metadata: { name: 'alice' },
      spec: {
        request: Buffer.from(request.toString('pem')).toString('base64'),
        signerName: 'kubernetes.io/kube-apiserver-client',
        usages: ['client auth'],
      },
    });
    const condition = { type: 'Approved', status: 'True', reason: 'Test', message: 'fine' };
    await client.update(
      CertificateSigningRequest,
      { ...created, status: { conditions: [condition] } },
      { subresource: 'approval' },
    );
    const signed = await plane.until(CertificateSigningRequest, all =>
      all.values().find(each => each.status?.certificate),
    );
    const certificate = new X509Certificate(Buffer.from(signed.status?.certificate ?? '', 'base64'));
    assert.equal(certificate.subject, 'O=team\nCN=alice');
    assert.ok(certificate.verify(new X509Certificate(authority.certPem).publicKey));
  });

  test('signers hold to their rules: names, usages, lifetimes', { timeout }, async () => {
    const issuing = { clock: systemClock, random: seededRandom(3) };
    const authority = await issueAuthority({ commonName: 'kubernetes', validForMs: 800 * 86_400_000 }, issuing);
    await using plane = await startControlPlane({ settings: { signer: certificateSigner(authority, issuing) } });
    const { client } = plane;
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const key = createPrivateKey(newKeyPem());
    const keys = {
      privateKey: key.toCryptoKey(algorithm, true, ['sign']) as webcrypto.CryptoKey,
      publicKey: createPublicKey(key).toCryptoKey(algorithm, true, ['verify']) as webcrypto.CryptoKey,
    };
    type Name = ConstructorParameters<typeof SubjectAlternativeNameExtension>[0];
    const answer = async (
      name: string,
      signer: string,
      subject: string,
      usages: string[],
      more: { readonly names?: Name; readonly seconds?: number } = {},
    ) => {
      const request = await Pkcs10CertificateRequestGenerator.create({
        name: subject,
        keys,
        signingAlgorithm: algorithm,
        extensions: more.names ? [new SubjectAlternativeNameExtension(more.names)] : [],
      });
      const created = await client.create(CertificateSigningRequest, {
        metadata: { name },
        spec: {
          request: Buffer.from(request.toString('pem')).toString('base64'),
          signerName: `kubernetes.io/${signer}`,
          usages,
          ...(more.seconds !== undefined && { expirationSeconds: more.seconds }),
        },
      });
      const condition = { type: 'Approved', status: 'True', reason: 'Test', message: 'fine' };
      await client.update(
        CertificateSigningRequest,
        { ...created, status: { conditions: [condition] } },
        { subresource: 'approval' },
      );
      const done = await plane.until(CertificateSigningRequest, all => {
        const found = all.get(name);
        return found?.status?.certificate || found?.status?.conditions?.some(each => each.type === 'Failed')
          ? found
          : undefined;
      });
      const failure = done.status?.conditions?.find(each => each.type === 'Failed');
      if (failure) return failure.message ?? '';
      return new X509Certificate(Buffer.from(done.status?.certificate ?? '', 'base64'));
    };
    const node = 'CN=system:node:n1,O=system:nodes';
    const dns: Name = [{ type: 'dns', value: 'n1' }];
    const serving = ['digital signature', 'key encipherment', 'server auth'];
    const refused = async (why: string, ...asked: Parameters<typeof answer>) =>
      assert.equal(await answer(...asked), why);
    await Promise.all([
      refused('DNS or IP subjectAltName is required', 's1', 'kubelet-serving', node, serving),
      refused('subject organization is not system:nodes', 's2', 'kubelet-serving', 'CN=system:node:n1', serving, {
        names: dns,
      }),
      refused(
        'subject common name does not begin with system:node: ',
        's3',
        'kubelet-serving',
        'CN=n1,O=system:nodes',
        serving,
        { names: dns },
      ),
      refused('URI subjectAltNames are not allowed', 's4', 'kubelet-serving', node, serving, {
        names: [...dns, { type: 'url', value: 'spiffe://x' }] as Name,
      }),
      refused(
        'usages did not match [digital signature key encipherment server auth]',
        's5',
        'kubelet-serving',
        node,
        ['client auth'],
        { names: dns },
      ),
      refused(
        'DNS subjectAltNames are not allowed',
        'c1',
        'kube-apiserver-client-kubelet',
        node,
        ['client auth', 'digital signature'],
        { names: dns },
      ),
      refused('invalid usage for client certificate: server auth', 'a1', 'kube-apiserver-client', 'CN=x', [
        'server auth',
      ]),
      refused('missing required usage for client certificate: client auth', 'a2', 'kube-apiserver-client', 'CN=x', [
        'digital signature',
      ]),
    ]);
    const good = (await answer('s6', 'kubelet-serving', node, serving, { names: dns })) as X509Certificate;
    assert.equal(good.subjectAltName, 'DNS:n1');
    assert.deepEqual(good.keyUsage, ['1.3.6.1.5.5.7.3.1']);
    const lifetime = ({ validFrom, validTo }: X509Certificate) => (Date.parse(validTo) - Date.parse(validFrom)) / 1000;
    assert.equal(lifetime(good), 365 * 86_400);
    // A short life is as long as asked for, from now on; none is shorter than ten minutes.
    const hour = (await answer('a3', 'kube-apiserver-client', 'CN=x', ['client auth'], {
      seconds: 3600,
    })) as X509Certificate;
    assert.equal(lifetime(hour), 3600 + 300);
  });
});
