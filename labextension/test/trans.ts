import type { TranslationBundle } from '@jupyterlab/translation';

/** English, put together like the real bundle does. */
export const trans = {
  __: (text: string, ...values: unknown[]) => filled(text, values),
  _n: (one: string, many: string, count: number, ...values: unknown[]) =>
    filled(count === 1 ? one : many, [count, ...values])
} as unknown as TranslationBundle;

function filled(text: string, values: unknown[]): string {
  return text.replace(/%(\d+)/g, (_, index) => String(values[Number(index) - 1]));
}
