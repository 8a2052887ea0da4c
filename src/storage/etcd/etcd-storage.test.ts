import { after } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { Storage } from '../storage.ts';
import { storageSuite } from '../suite.ts';
import { openEtcdStorage } from './etcd-storage.ts';
import { startEtcd, type TestEtcd } from './test-etcd.ts';

/** The next one starts while a test runs: every test of the suite wants an empty one. */
let next: Promise<TestEtcd> | undefined = startEtcd();
const used: TestEtcd[] = [];

after(async () => {
  if (next) used.push(await next);
  await Promise.all(used.map(etcd => etcd[Symbol.asyncDispose]()));
});

storageSuite('etcd', async (): Promise<Storage> => {
  const etcd = await (next as Promise<TestEtcd>);
  next = startEtcd();
  used.push(etcd);
  const storage = await openEtcdStorage({ servers: [etcd.url], clock: systemClock, log: silentLog });
  const dispose = storage[Symbol.asyncDispose].bind(storage);
  return Object.assign(storage, {
    async [Symbol.asyncDispose]() {
      await dispose();
      await etcd[Symbol.asyncDispose]();
    },
  });
});
