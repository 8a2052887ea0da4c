import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { mount, unmount } from '#base/kernel/mount.ts';
import { silentLog } from '#base/log.ts';
import { Images } from '#runtime/oci/images/images.ts';
import { buildImages, pushImage } from '../../tools/images.ts';
import { type Registry, startRegistry } from '../../tools/registry.ts';
import { cannotRunContainers } from './fixture.ts';

const skip = await cannotRunContainers();

/** What an image store goes through: every failure says why, and the next pull is as good as any. */
describe('pulls on bad days', { skip: skip ?? false }, () => {
  let registry: Registry;

  before(async () => {
    registry = await startRegistry();
    for (const image of await buildImages()) await pushImage(registry.host, image);
  });
  after(() => registry?.[Symbol.asyncDispose]());

  const withStore = async (
    options: string,
    run: (images: Images, grow: (to: string) => Promise<void>) => Promise<void>,
  ) => {
    const directory = await mkdtemp(join(tmpdir(), 'windlass-bad-days-'));
    try {
      await mount({ source: 'tmpfs', target: directory, type: 'tmpfs', data: options });
      const images = await Images.open({ directory, clock: systemClock, log: silentLog });
      try {
        await run(images, to =>
          mount({ source: 'tmpfs', target: directory, type: 'tmpfs', flags: ['remount'], data: to }),
        );
      } finally {
        await images[Symbol.asyncDispose]();
      }
    } finally {
      await unmount(directory);
      await rm(directory, { recursive: true, force: true });
    }
  };

  for (const [what, small, grown] of [
    ['bytes', 'size=256k', 'size=256m'],
    ['inodes', 'nr_inodes=12', 'nr_inodes=10000'],
  ] as const)
    it(`a disk without ${what} is told as the cause; with some again the image comes`, async () => {
      await withStore(small, async (images, grow) => {
        const image = `${registry.host}/web:v1`;
        await assert.rejects(images.pull({ image }), /ENOSPC|no space left/i);
        assert.deepEqual(await images.list(), []);
        await grow(grown);
        assert.match(await images.pull({ image }), /^sha256:/);
        assert.equal((await images.list()).length, 1);
      });
    });

  it('a registry that breaks off in the middle of a layer is told, and what came is no image', async () => {
    let isBroken = true;
    const server = createServer((asked, answer) => {
      const passedOn = request(
        {
          host: '127.0.0.1',
          port: Number(registry.host.split(':')[1]),
          path: asked.url,
          method: asked.method,
          headers: asked.headers,
        },
        given => {
          answer.writeHead(given.statusCode ?? 500, given.headers);
          const isLayer =
            isBroken && asked.url?.includes('/blobs/') && Number(given.headers['content-length']) > 10_000;
          if (!isLayer) return void given.pipe(answer);
          given.once('data', (chunk: Buffer) => answer.write(chunk.subarray(0, 1000), () => answer.destroy()));
          given.on('error', () => undefined);
        },
      );
      passedOn.on('error', () => answer.destroy());
      asked.pipe(passedOn);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    try {
      const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      await withStore('size=256m', async images => {
        const image = `${host}/web:v1`;
        await assert.rejects(images.pull({ image }), new RegExp(`${host}|web`));
        assert.deepEqual(await images.list(), []);
        isBroken = false;
        assert.match(await images.pull({ image }), /^sha256:/);
      });
    } finally {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    }
  });
});
