/** What came of an expression, by upstream's labels. */
export type ErrorType = 'no_error' | 'compile_error' | 'invalid_error' | 'out_of_budget';

/** Where policies tell what they did; absent where nobody counts. */
export interface PolicyMetrics {
  validating(
    policy: string,
    binding: string,
    errorType: ErrorType,
    action: 'allow' | 'deny' | 'audit' | 'warn',
    seconds: number,
  ): void;
  mutating(policy: string, binding: string, errorType: ErrorType, seconds: number): void;
}

export function errorTypeOf(message: string): ErrorType {
  if (message.startsWith('compilation')) return 'compile_error';
  if (message.startsWith('validation failed due to running out of cost budget')) return 'out_of_budget';
  return 'invalid_error';
}
