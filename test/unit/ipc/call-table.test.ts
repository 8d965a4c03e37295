import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { CallTable } from '../../../src/ipc/call-table.js';

interface Call {
  readonly id: number;
}

type Step =
  | { readonly kind: 'new' }
  | { readonly kind: 'foreign'; readonly id: number }
  | { readonly kind: 'delete'; readonly index: number }
  | { readonly kind: 'get'; readonly id: number };

// Ids of a foreign caller that want the same places, now and after the table has grown.
const id = fc.tuple(fc.nat(3), fc.nat(10)).map(([low, high]) => low + high * 256 + 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('new' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('foreign' as const), id }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), index: fc.nat(1_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('get' as const), id }) },
);

void t.test('a call table is a map that gives unused ids', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 1_500, size: 'max' }), (steps) => {
      const table = new CallTable<Call>();
      const model = new Map<number, Call>();
      const add = (id: number) => {
        const call = { id };
        table.add(call);
        model.set(id, call);
      };
      for (const step of steps) {
        switch (step.kind) {
          case 'new': {
            const id = table.newId();
            if (id === 0 || model.has(id)) assert.fail(`${id} is in use`);
            add(id);
            break;
          }
          case 'foreign':
            if (!model.has(step.id)) add(step.id);
            break;
          case 'delete': {
            const call = [...model.values()][step.index % (model.size || 1)];
            if (call === undefined) break;
            if (!table.delete(call)) assert.fail(`${call.id} is not there`);
            if (table.delete(call)) assert.fail(`${call.id} is there twice`);
            model.delete(call.id);
            break;
          }
          case 'get':
            if (table.get(step.id) !== model.get(step.id)) assert.fail(`${step.id} is another call`);
            break;
          default:
            step satisfies never;
        }
      }
      assert.equal(table.size, model.size);
      assert.deepEqual(new Set(table.all()), new Set(model.values()));
    }),
    { numRuns: 100 },
  );
});

void t.test('ids come around again without meeting a call that is still open', async (t) => {
  const table = new CallTable<Call>();
  const long = { id: table.newId() };
  table.add(long);
  for (let round = 0; round < 100_000; round += 1) {
    const call = { id: table.newId() };
    table.add(call);
    if (table.get(call.id) !== call || table.get(long.id) !== long) t.fail('a call is lost');
    table.delete(call);
  }
  t.equal(table.size, 1);
});
