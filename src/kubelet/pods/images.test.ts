import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Pod } from '#api/core/v1/pod.ts';
import { ManualClock } from '#base/clock.ts';
import type { Image, ImageService } from '#runtime/runtime.ts';
import { Images } from './images.ts';
import { PulledImages } from './pulled-images.ts';

const folder = mkdtempSync(join(tmpdir(), 'windlass-images-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A registry that answers when it is told to. */
function open(pullsMax?: number) {
  const pulls: { image: string; come: () => void; signal: AbortSignal | undefined }[] = [];
  const present = new Set<string>();
  const runtime = {
    imageStatus: async ({ image }: { image: string }) =>
      present.has(image) ? ({ id: image, sizeBytes: 1 } as unknown as Image) : undefined,
    pullImage: ({ image }: { image: string }, _auth: unknown, _sandbox: unknown, signal?: AbortSignal) =>
      new Promise<string>((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error));
        pulls.push({
          image,
          signal,
          come: () => {
            present.add(image);
            resolve(image);
          },
        });
      }),
  } as unknown as ImageService;
  const pulled = new PulledImages(folder, 'NeverVerifyPreloadedImages', []);
  const images = new Images(runtime, new ManualClock(), async () => undefined, pulled, pullsMax);
  const ensure = (uid: string, image: string, signal?: AbortSignal) =>
    images.ensure(
      { metadata: { uid, namespace: 'default', name: uid }, spec: {} } as unknown as Pod,
      { image, imagePullPolicy: 'IfNotPresent' },
      undefined,
      () => undefined,
      signal,
    );
  return { pulls, ensure };
}

const settled = () => new Promise(resolve => setImmediate(resolve));

test('pods that want the same image share a pull, and one that is deleted does not end it', async () => {
  const { pulls, ensure } = open();
  const stop = new AbortController();
  const first = ensure('first', 'shared', stop.signal);
  const second = ensure('second', 'shared');
  await settled();
  assert.equal(pulls.length, 1);
  stop.abort(new Error('the pod is being stopped'));
  await assert.rejects(first, /the pod is being stopped/);
  assert.equal(pulls[0]?.signal?.aborted, false);
  pulls[0]?.come();
  assert.equal((await second).ref, 'shared');
});

test('a pull that nobody waits for is ended, and begun anew by the next who wants it', async () => {
  const { pulls, ensure } = open();
  const stop = new AbortController();
  const first = ensure('first', 'left', stop.signal);
  await settled();
  stop.abort(new Error('the pod is being stopped'));
  await assert.rejects(first);
  assert.equal(pulls[0]?.signal?.aborted, true);
  const second = ensure('second', 'left');
  await settled();
  pulls[1]?.come();
  assert.equal((await second).ref, 'left');
});

test('no more pulls at once than the node is told', async () => {
  const { pulls, ensure } = open(1);
  const both = ['one', 'two'].map(image => ensure(image, image));
  await settled();
  assert.deepEqual(
    pulls.map(({ image }) => image),
    ['one'],
  );
  pulls[0]?.come();
  await both[0];
  await settled();
  pulls[1]?.come();
  await both[1];
});
