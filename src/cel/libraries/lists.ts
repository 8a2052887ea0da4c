import { global, type Library, method } from '../functions.ts';
import { add, compare, contains, equal, noSuchOverload } from '../operations.ts';
import {
  boolType,
  bytesType,
  type CelType,
  doubleType,
  durationType,
  dynType,
  intType,
  listOf,
  parameterOf,
  stringType,
  timestampType,
  uintType,
} from '../types.ts';
import { CelError, CelList, type CelValue, Double, Duration, type Result, typeOfValue, Uint } from '../values.ts';
import { listSizeMax, work } from '../work.ts';

const t = parameterOf('T');
const a = parameterOf('A');
const listOfT = listOf(t);

const summable: readonly (readonly [string, CelType, CelValue])[] = [
  ['int', intType, 0],
  ['uint', uintType, new Uint(0n)],
  ['double', doubleType, new Double(0)],
  ['duration', durationType, new Duration(0n)],
];

const comparable: readonly (readonly [string, CelType])[] = [
  ['int', intType],
  ['uint', uintType],
  ['double', doubleType],
  ['bool', boolType],
  ['duration', durationType],
  ['timestamp', timestampType],
  ['string', stringType],
  ['bytes', bytesType],
];

/** Kubernetes' own functions on lists. */
export const kubernetesListsLibrary: Library = [
  [
    'isSorted',
    ...comparable.map(([name, type]) => method(`list_${name}_is_sorted_bool`, [listOf(type)], boolType, isSorted)),
  ],
  [
    'sum',
    ...summable.map(([name, type, zero]) =>
      method(`list_${name}_sum_${name}`, [listOf(type)], type, (list: CelList) => sum(list, zero)),
    ),
  ],
  [
    'max',
    ...comparable.map(([name, type]) =>
      method(`list_${name}_max_${name}`, [listOf(type)], type, (list: CelList) =>
        extreme(list, 'max', order => order < 0),
      ),
    ),
  ],
  [
    'min',
    ...comparable.map(([name, type]) =>
      method(`list_${name}_min_${name}`, [listOf(type)], type, (list: CelList) =>
        extreme(list, 'min', order => order > 0),
      ),
    ),
  ],
  ['indexOf', method('list_a_index_of_int', [listOf(a), a], intType, indexOf)],
  ['lastIndexOf', method('list_a_last_index_of_int', [listOf(a), a], intType, lastIndexOf)],
];

/** cel-go's lists extension in version 3. */
export const listsLibrary: Library = [
  ['slice', method('list_slice', [listOfT, intType, intType], listOfT, slice)],
  [
    'flatten',
    { ...method('list_flatten', [listOf(listOfT)], listOfT, (list: CelValue) => flatten(list, 1)), unguarded: true },
    method('list_flatten_int', [listOf(dynType), intType], listOf(dynType), flatten),
  ],
  [
    'sort',
    ...comparable.map(([, type]) =>
      method(`list_${type.name}_sort`, [listOf(type)], listOf(type), (list: CelList) => sortBy(list, list)),
    ),
  ],
  [
    '@sortByAssociatedKeys',
    ...comparable.map(([, type]) =>
      method(`list_${type.name}_sortByAssociatedKeys`, [listOfT, listOf(type)], listOfT, sortBy),
    ),
  ],
  ['lists.range', global('lists_range', [intType], listOf(intType), range)],
  ['reverse', method('list_reverse', [listOfT], listOfT, reverse)],
  ['distinct', method('list_distinct', [listOfT], listOfT, distinct)],
];

/** cel-go's sets extension. */
export const setsLibrary: Library = [
  ['sets.contains', global('list_sets_contains_list', [listOfT, listOfT], boolType, containsAll)],
  [
    'sets.equivalent',
    global('list_sets_equivalent_list', [listOfT, listOfT], boolType, (left: CelList, right: CelList) => {
      const one = containsAll(left, right);
      return one === true ? containsAll(right, left) : one;
    }),
  ],
  ['sets.intersects', global('list_sets_intersects_list', [listOfT, listOfT], boolType, intersects)],
];

/** The elements; the first error in their stead. */
function elementsOf(list: CelList): CelValue[] | CelError {
  work(list.size);
  const elements: CelValue[] = [];
  for (let index = 0; index < list.size; index++) {
    const element = list.get(index);
    if (element instanceof CelError) return element;
    elements.push(element);
  }
  return elements;
}

function isSorted(list: CelList): Result {
  const elements = elementsOf(list);
  if (elements instanceof CelError) return elements;
  for (let index = 1; index < elements.length; index++) {
    const order = compare(elements[index - 1] as CelValue, elements[index] as CelValue);
    if (order instanceof CelError) return order;
    if (order > 0) return false;
  }
  return true;
}

function sum(list: CelList, zero: CelValue): Result {
  let total: Result = zero;
  for (let index = 0; index < list.size; index++) {
    const element = list.get(index);
    if (element instanceof CelError) return element;
    total = add(total, element);
    if (total instanceof CelError) return total;
  }
  return total;
}

function extreme(list: CelList, name: string, better: (order: number) => boolean): Result {
  const elements = elementsOf(list);
  if (elements instanceof CelError) return elements;
  let best = elements[0];
  if (best === undefined) return new CelError(`${name} called on empty list`);
  for (const element of elements.slice(1)) {
    const order = compare(best, element);
    if (order instanceof CelError) return order;
    if (better(order)) best = element;
  }
  return best;
}

function indexOf(list: CelList, wanted: CelValue): Result {
  for (let index = 0; index < list.size; index++) if (isElement(list, index, wanted)) return index;
  return -1;
}

function lastIndexOf(list: CelList, wanted: CelValue): Result {
  for (let index = list.size - 1; index >= 0; index--) if (isElement(list, index, wanted)) return index;
  return -1;
}

function isElement(list: CelList, index: number, wanted: CelValue): boolean {
  const element = list.get(index);
  return !(element instanceof CelError) && equal(element, wanted) === true;
}

function slice(list: CelList, start: number | bigint, end: number | bigint): Result {
  const problem = (what: string) => new CelError(`cannot slice(${start}, ${end}), ${what}`);
  if (start < 0 || end < 0) return problem('negative indexes not supported');
  if (start > end) return problem('start index must be less than or equal to end index');
  if (end > list.size) return problem(`list is length ${list.size}`);
  const [from, to] = [Number(start), Number(end)];
  if (list.parts === undefined) return new CelList(list.items.slice(from, to), list.adapt);
  work(to - from);
  return new CelList(Array.from({ length: to - from }, (_, index) => list.get(from + index)));
}

function flatten(list: CelValue, depth: number | bigint): Result {
  if (!(list instanceof CelList)) return noSuchOverload;
  if (depth < 0) return new CelError('level must be non-negative');
  const elements: CelValue[] = [];
  const collect = (from: CelList, left: number): CelError | undefined => {
    for (let index = 0; index < from.size; index++) {
      const element = from.get(index);
      if (element instanceof CelError) return element;
      if (!(element instanceof CelList) || left === 0) elements.push(element);
      else {
        const failed = collect(element, left - 1);
        if (failed !== undefined) return failed;
      }
    }
    return undefined;
  };
  return collect(list, Number(depth)) ?? new CelList(elements);
}

function sortBy(list: CelList, keys: CelList): Result {
  const elements = elementsOf(list);
  const sortKeys = elementsOf(keys);
  if (elements instanceof CelError) return elements;
  if (sortKeys instanceof CelError) return sortKeys;
  if (elements.length !== sortKeys.length) {
    return new CelError(
      `@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got ${elements.length} and ${sortKeys.length} elements respectively`,
    );
  }
  const first = sortKeys[0];
  if (first === undefined) return list;
  if (compare(first, first) === noSuchOverload) return new CelError('list elements must be comparable');
  const type = typeOfValue(first).text;
  if (sortKeys.some(key => typeOfValue(key).text !== type))
    return new CelError('list elements must have the same type');
  const places = sortKeys.map((_, index) => index);
  places.sort((left, right) => {
    const order = compare(sortKeys[left] as CelValue, sortKeys[right] as CelValue);
    return typeof order === 'number' ? order : 0;
  });
  return new CelList(places.map(place => elements[place]));
}

function range(count: number | bigint): Result {
  if (count > listSizeMax) return new CelError('operation cancelled: actual cost limit exceeded', true);
  return new CelList(Array.from({ length: Math.max(0, Number(count)) }, (_, index) => index));
}

function reverse(list: CelList): Result {
  if (list.parts === undefined) return new CelList(list.items.toReversed(), list.adapt);
  const elements = elementsOf(list);
  return elements instanceof CelError ? elements : new CelList(elements.reverse());
}

function distinct(list: CelList): Result {
  const elements = elementsOf(list);
  if (elements instanceof CelError) return elements;
  const kept: CelValue[] = [];
  for (const element of elements) if (!kept.some(each => equal(element, each) === true)) kept.push(element);
  return new CelList(kept);
}

function containsAll(list: CelList, wanted: CelList): Result {
  for (let index = 0; index < wanted.size; index++) {
    const element = wanted.get(index);
    const found = element instanceof CelError ? element : contains(element, list);
    if (found !== true) return found;
  }
  return true;
}

function intersects(left: CelList, right: CelList): Result {
  for (let index = 0; index < left.size; index++) {
    const element = left.get(index);
    if (!(element instanceof CelError) && contains(element, right) === true) return true;
  }
  return false;
}
