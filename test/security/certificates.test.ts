import assert from 'node:assert/strict';
import { webcrypto, X509Certificate } from 'node:crypto';
import { after, before, test } from 'node:test';
import 'reflect-metadata';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import { nodeUser, type User } from '#auth/user.ts';
import { admin, eventually, openPlane, type Plane } from './plane.ts';

let world: Plane;
before(async () => {
  world = await openPlane();
  await world.plane.startActing();
});
after(async () => {
  await world[Symbol.asyncDispose]();
});

const requests = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const clientUsages = ['client auth', 'digital signature'];
const kubeletSigner = 'kubernetes.io/kube-apiserver-client-kubelet';

async function requestFor(subject: string): Promise<string> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const made = await Pkcs10CertificateRequestGenerator.create({ name: subject, keys, signingAlgorithm: algorithm });
  return Buffer.from(made.toString('pem')).toString('base64');
}

let count = 0;
async function ask(user: User, subject: string, signerName: string, more: object = {}) {
  const name = `request-${++count}`;
  const spec = { request: await requestFor(subject), signerName, usages: clientUsages, ...more };
  const answer = await world.askAs(user, 'POST', requests, { metadata: { name }, spec });
  return { name, ...answer };
}

async function look(name: string) {
  const { body } = await world.askAs(admin, 'GET', `${requests}/${name}`);
  return body as {
    spec: { username: string; groups?: string[]; extra?: object };
    status: { conditions?: { type: string; message: string }[]; certificate?: string };
  };
}

test('who asks is who is written down, whatever they write', async () => {
  const ann: User = { name: 'ann', uid: '7', groups: ['system:masters', 'dev'], extra: { 'acme.io/x': ['y'] } };
  const posing = { username: 'system:node:n1', groups: ['system:nodes'], uid: '1', extra: { a: ['b'] } };
  const { name, code } = await ask(ann, 'CN=ann', 'example.com/signer', posing);
  assert.equal(code, 201);
  const { spec } = await look(name);
  assert.deepEqual(
    [spec.username, spec.groups, { ...spec.extra }],
    ['ann', ['system:masters', 'dev'], { 'acme.io/x': ['y'] }],
  );
  // Nor afterwards.
  await world.askAs(admin, 'PATCH', `${requests}/${name}`, { spec: posing });
  assert.equal((await look(name)).spec.username, 'ann');
});

test('nobody asks for system:masters, and nobody approves without the signer’s leave', async () => {
  const refused = await ask(admin, 'CN=ann,O=system:masters', 'kubernetes.io/kube-apiserver-client');
  assert.equal(refused.code, 403);
  assert.match(refused.body.message, /system:masters group is not allowed/);
  await world.make('/apis/rbac.authorization.k8s.io/v1/clusterroles', {
    metadata: { name: 'approver' },
    rules: [
      {
        apiGroups: ['certificates.k8s.io'],
        resources: [
          'certificatesigningrequests',
          'certificatesigningrequests/approval',
          'certificatesigningrequests/status',
        ],
        verbs: ['*'],
      },
    ],
  });
  await world.make('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'approver' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'approver' },
    subjects: [{ kind: 'User', name: 'eve', apiGroup: 'rbac.authorization.k8s.io' }],
  });
  const eve: User = { name: 'eve', groups: ['system:authenticated'] };
  await eventually(async () => (await world.askAs(eve, 'GET', requests)).code === 200);
  const own = await ask(eve, 'CN=admin,O=admins', 'kubernetes.io/kube-apiserver-client');
  assert.equal(own.code, 201);
  const approved = { status: { conditions: [{ type: 'Approved', status: 'True', reason: 'Eve', message: 'mine' }] } };
  const approval = await world.askAs(eve, 'PATCH', `${requests}/${own.name}/approval`, approved);
  assert.equal(approval.code, 403, approval.text);
  assert.match(
    approval.body.message,
    /user not permitted to approve requests with signerName "kubernetes.io\/kube-apiserver-client"/,
  );
  const certificate = Buffer.from(world.plane.trust.clientCaPem).toString('base64');
  const signed = await world.askAs(eve, 'PATCH', `${requests}/${own.name}/status`, { status: { certificate } });
  assert.equal(signed.code, 403, signed.text);
  // Created approved is not approved.
  const eager = await ask(eve, 'CN=eve', 'kubernetes.io/kube-apiserver-client');
  assert.equal((await look(eager.name)).status.conditions, undefined);
});

test('a machine that joins gets its first certificate by itself, a node its next one, and nobody that of another', async () => {
  await world.make('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'join' },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'system:certificates.k8s.io:certificatesigningrequests:nodeclient',
    },
    subjects: [{ kind: 'Group', name: 'system:bootstrappers', apiGroup: 'rbac.authorization.k8s.io' }],
  });
  await world.make('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'renew' },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient',
    },
    subjects: [{ kind: 'Group', name: 'system:nodes', apiGroup: 'rbac.authorization.k8s.io' }],
  });
  await world.make('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'ask' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:node-bootstrapper' },
    subjects: [{ kind: 'Group', name: 'system:bootstrappers', apiGroup: 'rbac.authorization.k8s.io' }],
  });
  const machine: User = { name: 'system:bootstrap:abcdef', groups: ['system:bootstrappers', 'system:authenticated'] };
  await eventually(async () => (await world.askAs(machine, 'GET', requests)).code === 200);
  const subject = (node: string) => `CN=system:node:${node},O=system:nodes`;
  const issued = async (name: string) => {
    for (;;) {
      const { status } = await look(name);
      if (status.certificate) return new X509Certificate(Buffer.from(status.certificate, 'base64'));
      await world.clock.advance(10);
    }
  };
  const first = await ask(machine, subject('n1'), kubeletSigner);
  assert.equal(first.code, 201, first.text);
  assert.equal((await issued(first.name)).subject, 'O=system:nodes\nCN=system:node:n1');
  const next = await ask(nodeUser('n1'), subject('n1'), kubeletSigner);
  assert.ok(await issued(next.name));
  // A node asks for no other node's, and a stranger's request waits for a person.
  assert.equal((await ask(nodeUser('n1'), subject('n2'), kubeletSigner)).code, 403);
  const stranger = await ask(admin, subject('n3'), kubeletSigner, { usages: ['client auth', 'server auth'] });
  const another = await ask(machine, subject('n4'), kubeletSigner);
  await issued(another.name);
  assert.equal((await look(stranger.name)).status.conditions, undefined);
});

test('what extension API servers trust is written again when somebody changes it', async () => {
  const path = '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication';
  const trusted = async () => {
    const { body } = await world.askAs(admin, 'GET', path);
    return (body as { data?: Record<string, string> }).data?.['client-ca-file'];
  };
  const ca = await trusted();
  assert.ok(ca?.includes('BEGIN CERTIFICATE'));
  await world.askAs(admin, 'PATCH', path, { data: { 'client-ca-file': 'of somebody else' } });
  await eventually(async () => (await trusted()) === ca);
  await world.askAs(admin, 'DELETE', path);
  await eventually(async () => (await trusted()) === ca);
});
