/** A map that forgets what was set longest ago where it would come to weigh more than its limit. */
export interface Recent<Value> {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
  delete(key: string): void;
  values(): Iterable<Value>;
}

/** For what others choose the number of: who asks for ever more names is remembered only so far. */
export function recent<Value>(
  limit: number,
  weigh: (value: Value) => number = () => 1,
): Recent<Value> {
  const values = new Map<string, Value>();
  let weight = 0;

  function forget(key: string): void {
    const value = values.get(key);
    if (value === undefined) return;
    values.delete(key);
    weight -= weigh(value);
  }

  return {
    get: (key) => values.get(key),
    set(key, value) {
      forget(key);
      values.set(key, value);
      weight += weigh(value);
      for (const [oldest] of values) {
        if (weight <= limit) return;
        forget(oldest);
      }
    },
    delete: forget,
    values: () => values.values(),
  };
}
