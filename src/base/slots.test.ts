import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slots } from './slots.ts';

test('never more than so many at once, in the order of their coming, also when some fail', async () => {
  const slots = new Slots(3);
  const order: number[] = [];
  let running = 0;
  let most = 0;
  const done = await Promise.allSettled(
    Array.from({ length: 50 }, (_, index) =>
      slots.run(async () => {
        order.push(index);
        most = Math.max(most, ++running);
        await Promise.resolve();
        running--;
        if (index % 7 === 0) throw new Error(`task ${index}`);
        return index;
      }),
    ),
  );
  assert.equal(most, 3);
  assert.deepEqual(
    order,
    Array.from({ length: 50 }, (_, index) => index),
  );
  assert.equal(done.filter(({ status }) => status === 'rejected').length, 8);
  assert.equal(await slots.run(() => Promise.resolve('free again')), 'free again');
});
