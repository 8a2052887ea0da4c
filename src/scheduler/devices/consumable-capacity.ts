import { parseQuantity } from '#api/machinery/quantity.ts';
import type { CapacityRequirements } from '#api/resource/v1/resource-claim-spec.ts';
import type { Device, DeviceCapacity } from '#api/resource/v1/resource-slice.ts';

/** Amounts by the name of the capacity, in nano units. KEP-5075. */
export type Amounts = ReadonlyMap<string, bigint>;

/**
 * What a request takes of a device: all of a capacity that it does not mention, unless the device says how much that is;
 * and what the device's steps make of what it mentions. `undefined`: the device has no such capacity, or not so much.
 */
export function amountsTaken(device: Device, wanted: CapacityRequirements | undefined): Amounts | undefined {
  const requests = wanted?.requests ?? {};
  const capacities = device.capacity ?? {};
  for (const name of Object.keys(requests)) if (!Object.hasOwn(capacities, name)) return undefined;
  const taken = new Map<string, bigint>();
  for (const [name, capacity] of Object.entries(capacities)) {
    const asked = Object.hasOwn(requests, name) ? nano(requests[name]) : undefined;
    const amount = amountFor(capacity, asked);
    if (breaksPolicy(capacity, amount) || amount > nano(capacity.value)) return undefined;
    taken.set(name, amount);
  }
  return taken;
}

/** Whether a device has that much beside what others took of it. */
export function isLeft(device: Device, taken: Amounts, ...others: readonly (Amounts | undefined)[]): boolean {
  for (const [name, amount] of taken) {
    const used = others.reduce((sum, each) => sum + (each?.get(name) ?? 0n), 0n);
    if (used + amount > nano(device.capacity?.[name]?.value)) return false;
  }
  return true;
}

function amountFor({ value, requestPolicy }: DeviceCapacity, asked: bigint | undefined): bigint {
  if (asked === undefined) return requestPolicy?.default === undefined ? nano(value) : nano(requestPolicy.default);
  if (requestPolicy?.default === undefined) return asked;
  const { validRange, validValues = [] } = requestPolicy;
  if (validRange !== undefined) {
    const min = nano(validRange.min);
    if (asked < min) return min;
    const step = nano(validRange.step);
    if (step <= 0n) return asked;
    const over = asked - min;
    return min + ((over + step - 1n) / step) * step;
  }
  // The values stand in ascending order.
  for (const each of validValues) if (nano(each) >= asked) return nano(each);
  return asked;
}

function breaksPolicy({ requestPolicy }: DeviceCapacity, amount: bigint): boolean {
  if (requestPolicy?.default === undefined || nano(requestPolicy.default) === amount) return false;
  const { validRange, validValues = [] } = requestPolicy;
  if (validRange !== undefined) return validRange.max !== undefined && amount > nano(validRange.max);
  return validValues.length > 0 && !validValues.some(each => nano(each) === amount);
}

export function nano(text: string | undefined): bigint {
  return parseQuantity(text ?? '0')?.nano ?? 0n;
}
