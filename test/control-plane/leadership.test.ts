import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { Lease } from '#api/coordination/v1/lease.ts';
import { actWhileLeading } from '../../src/cluster/leadership.ts';
import { startControlPlane } from './control-plane.ts';

test('whose lease is lost stops acting, and acts again when it has it again', { timeout: 30_000 }, async () => {
  await using plane = await startControlPlane({ only: [] });
  const acts: string[] = [];
  const changed = new EventTarget();
  const note = (what: string) => {
    acts.push(what);
    changed.dispatchEvent(new Event('change'));
  };
  const until = (count: number) =>
    new Promise<void>(resolve => {
      const look = () => {
        if (acts.length >= count) resolve();
      };
      changed.addEventListener('change', look);
      look();
    });
  const stop = new AbortController();
  const election = {
    client: plane.client,
    name: 'kube-scheduler',
    clock: systemClock,
    random: seededRandom(1),
    log: silentLog,
    leaseDurationMs: 1_000,
    renewDeadlineMs: 300,
    retryPeriodMs: 50,
  };
  const running = actWhileLeading(
    election,
    async lifetime => {
      note('begins');
      lifetime.defer(() => note('ends'));
    },
    stop.signal,
  );
  await until(1);
  const stolen = { spec: { holderIdentity: 'thief', leaseDurationSeconds: 1 } };
  await plane.client.patch(Lease, 'kube-scheduler', { type: 'merge', patch: stolen }, { namespace: 'kube-system' });
  await until(3);
  assert.deepEqual(acts, ['begins', 'ends', 'begins']);
  stop.abort();
  await running;
  assert.deepEqual(acts, ['begins', 'ends', 'begins', 'ends']);
  const { spec } = await plane.client.get(Lease, 'kube-scheduler', { namespace: 'kube-system' });
  assert.equal(spec?.holderIdentity, '', 'it gives the lease back');
});
