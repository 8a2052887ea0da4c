import { Violation, type Target } from '../target.ts';

/** Readers with faults, to see that they are found: they are in no list but the test's. */
export const plantedTargets: readonly Target[] = [
  {
    name: 'planted-crash',
    form: 'text',
    words: ['(', ')', 'x'],
    seeds: () => ['x(x)'],
    declares: error => error instanceof SyntaxError,
    run(input) {
      const depth = input.toString().replaceAll(/[^(]/g, '').length;
      if (depth > 4) throw new TypeError('too deep');
      return String(depth);
    },
  },
  {
    name: 'planted-hang',
    form: 'text',
    words: ['a', '!'],
    seeds: () => ['aaaa'],
    declares: () => false,
    run(input) {
      if (input.includes('!!')) for (;;);
      return String(input.length);
    },
  },
  {
    name: 'planted-property',
    form: 'json',
    seeds: () => ['{"a":1}'],
    declares: error => error instanceof SyntaxError,
    run(input) {
      const value = JSON.parse(input.toString()) as unknown;
      const again = { ...(value as object) };
      if (JSON.stringify(again) !== JSON.stringify(value)) throw new Violation('it is another one');
      return 'same';
    },
  },
];
