import type * as v from 'valibot';

type Issue = v.BaseIssue<unknown>;

/** So many are told: whoever sends nonsense gets no book in return. */
const maxIssues = 5;
/** Of what was sent, as much as shows what it is. */
const maxValueChars = 64;

/** What is wrong with a request, in words: "name is 200 characters long, and 128 are allowed". */
export function describeIssues(issues: readonly Issue[]): string {
  const told = issues.slice(0, maxIssues).map(describe);
  const more = issues.length - told.length;
  return [...told, ...(more > 0 ? [`and ${more} things more`] : [])].join('; ');
}

function describe(issue: Issue): string {
  const where = placeOf(issue);
  const { requirement } = issue as { readonly requirement?: unknown };
  const allowed = String(requirement);
  switch (issue.type) {
    case 'max_length':
      return `${where} ${extentOf(issue.input)}, and ${allowed} are allowed`;
    case 'min_length':
      return `${where} ${extentOf(issue.input)}, and ${allowed} is the least`;
    case 'non_empty':
      return `${where} is empty`;
    case 'min_value':
      return `${where} is ${shown(issue.input)}, and ${allowed} is the least`;
    case 'max_value':
      return `${where} is ${shown(issue.input)}, and ${allowed} is the most`;
    case 'strict_object':
      // Of a field that is missing the expected type is told in quotes: its name.
      if (issue.expected === 'never') return `${where} is not known`;
      if (issue.input === undefined) return `${where} is missing`;
      break;
  }
  // What only the contract itself can put in words.
  if (issue.kind === 'validation' && issue.type !== 'integer') return `${where}: ${issue.message}`;
  if (issue.type === 'integer') return `${where} is ${shown(issue.input)}, and has to be a whole number`;
  return `${where} is ${shown(issue.input)}, and has to be ${issue.expected ?? 'something else'}`;
}

/** "groups.3", or for the whole of it "the request". */
function placeOf({ path }: Issue): string {
  const keys = (path ?? []).map(({ key }) => String(key).slice(0, maxValueChars));
  return keys.length === 0 ? 'the request' : keys.join('.');
}

function extentOf(input: unknown): string {
  if (Array.isArray(input)) return `has ${input.length} entries`;
  return typeof input === 'string' ? `is ${input.length} characters long` : `is ${shown(input)}`;
}

function shown(input: unknown): string {
  if (typeof input === 'string') {
    return JSON.stringify(input.length > maxValueChars ? `${input.slice(0, maxValueChars)}…` : input);
  }
  if (typeof input === 'number' || typeof input === 'boolean') return String(input);
  if (input === null) return 'null';
  if (input === undefined) return 'missing';
  return Array.isArray(input) ? 'a list' : `of the type ${typeof input}`;
}
