import t from 'tap';
import * as v from 'valibot';
import { describeIssues } from '../../../src/ipc/issues.js';

const schema = v.strictObject({
  name: v.pipe(v.string(), v.nonEmpty(), v.maxLength(5)),
  tail: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(9)),
  role: v.picklist(['read', 'admin']),
  groups: v.optional(v.pipe(v.array(v.pipe(v.string(), v.nonEmpty())), v.minLength(1), v.maxLength(2))),
  range: v.optional(
    v.pipe(
      v.number(),
      v.check((value) => value > 0, 'the end is before the beginning'),
    ),
  ),
});
const good = { name: 'a', tail: 0, role: 'read' };

for (const [request, message] of [
  [{ ...good, name: '' }, 'name is empty'],
  [{ ...good, name: 'x'.repeat(200) }, 'name is 200 characters long, and 5 are allowed'],
  [{ ...good, name: Buffer.alloc(2) }, 'name is of the type object, and has to be string'],
  [{ ...good, tail: -1 }, 'tail is -1, and 0 is the least'],
  [{ ...good, tail: 10 }, 'tail is 10, and 9 is the most'],
  [{ ...good, tail: 1.5 }, 'tail is 1.5, and has to be a whole number'],
  [{ ...good, role: 'x'.repeat(100) }, `role is "${'x'.repeat(64)}…", and has to be ("read" | "admin")`],
  [{ ...good, groups: [] }, 'groups has 0 entries, and 1 is the least'],
  [{ ...good, groups: ['a', 'b', 'c'] }, 'groups has 3 entries, and 2 are allowed'],
  [{ ...good, groups: ['a', ''] }, 'groups.1 is empty'],
  [{ ...good, range: -1 }, 'range: the end is before the beginning'],
  [{ ...good, more: 1 }, 'more is not known'],
  [{ tail: 0, role: 'read' }, 'name is missing'],
  [{ ...good, name: '', tail: -1 }, 'name is empty; tail is -1, and 0 is the least'],
  [7, 'the request is 7, and has to be Object'],
  [
    { ...good, ...Object.fromEntries(Array.from({ length: 7 }, (_, index) => [`x${index}`, 0])) },
    // valibot tells of the first key that is not known.
    'x0 is not known',
  ],
] as const) {
  const { issues } = v.safeParse(schema, request);
  t.equal(describeIssues(issues ?? []), message);
}

const many = v.safeParse(v.array(v.string()), [1, 2, 3, 4, 5, 6, 7]).issues ?? [];
t.match(
  describeIssues(many),
  /^0 is 1, and has to be string; [^]*; and 2 things more$/,
  'a request of nonsense',
);
