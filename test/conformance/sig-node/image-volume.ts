import assert from 'node:assert/strict';
import { conformance } from '../conformance.ts';
import { execIn, readyPod } from '../pods.ts';

conformance(it => {
  it('[sig-node] ImageVolume should succeed with pod and pull policy of Always [LinuxOnly] [MinimumKubeletVersion:1.35] [Conformance]', async t => {
    const { metadata } = await readyPod(t, {
      container: { volumeMounts: [{ name: 'volume', mountPath: '/volume' }] },
      volumes: [{ name: 'volume', image: { reference: t.image('web:v2'), pullPolicy: 'Always' } }],
    });
    assert.equal(await execIn(t, metadata.name, 'cat', '/volume/version'), 'v2\n');
    await assert.rejects(execIn(t, metadata.name, 'touch', '/volume/file'), (error: { stderr?: string }) =>
      /Read-only file system/.test(error.stderr ?? ''),
    );
  });
});
