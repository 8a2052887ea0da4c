import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import type { Column } from '../../machinery/kind.ts';
import { formatLabelSelector } from '../../machinery/selector.ts';
import type { LabelSelector } from '../../meta/v1/label-selector.ts';

interface WithParamKind {
  readonly spec: {
    readonly paramKind?: { readonly apiVersion?: string | undefined; readonly kind?: string | undefined } | undefined;
  };
}

export const paramKindColumn: Column<WithParamKind> = text(
  'ParamKind',
  'Kind of its parameters.',
  ({ spec: { paramKind } }) =>
    paramKind === undefined ? '<unset>' : `${paramKind.apiVersion ?? ''}/${paramKind.kind ?? ''}`,
);

interface Binding {
  readonly spec: {
    readonly policyName?: string | undefined;
    readonly paramRef?:
      | {
          readonly name?: string | undefined;
          readonly namespace?: string | undefined;
          readonly selector?: LabelSelector | undefined;
        }
      | undefined;
  };
}

const policyNameColumn: Column<Binding> = text('PolicyName', 'The policy bound.', ({ spec }) => spec.policyName ?? '');

const paramRefColumn: Column<Binding> = text('ParamRef', 'The parameters it is bound with.', ({ spec }) => {
  const { name = '', namespace = '', selector } = spec.paramRef ?? {};
  // Whether the parameters have a namespace is unknown here.
  if (name !== '') return `${namespace === '' ? '*' : namespace}/${name}`;
  return selector === undefined ? '<unset>' : formatLabelSelector(selector);
});

export const bindingColumns = [nameColumn, policyNameColumn, paramRefColumn, ageColumn];
