import * as v from 'valibot';

type Issue = v.BaseIssue<unknown>;

/** The part of a schema that says which settings a group has, below what makes it optional. */
interface Settings {
  readonly wrapped?: Settings;
  readonly entries?: Readonly<Record<string, Settings>>;
}

/** What was wrong with settings, one sentence each: where, what would be right, and what is there instead. */
export function describeIssues(schema: v.GenericSchema, issues: readonly Issue[]): string[] {
  const sentences = issues.map((issue) => {
    const place = v.getDotPath(issue) ?? 'the whole file';
    const isUnknown = issue.type === 'strict_object' && issue.expected === 'never';
    if (isUnknown)
      return `${place}: there is no such setting; there are ${siblings(schema, issue).join(', ')}`;
    return `${place}: ${requirement(issue)}${instead(issue)}`;
  });
  // A number may break two rules that one sentence tells of.
  return [...new Set(sentences)];
}

/** The schemas' own messages, and plain words for those that have none. */
function requirement({ type, expected, message }: Issue): string {
  if (!message.startsWith('Invalid ')) return message;
  switch (type) {
    case 'strict_object':
      return 'has to be a group of settings';
    case 'array':
      return 'has to be a list';
    case 'string':
      return 'has to be text';
    case 'number':
      return 'has to be a number';
    case 'boolean':
      return 'has to be true or false';
    case 'picklist':
      return `has to be ${(expected ?? '').replace(/^\((.*)\)$/, '$1').replaceAll(' | ', ' or ')}`;
    default:
      return `has to be ${expected ?? 'something else'}`;
  }
}

function instead({ input }: Issue): string {
  if (typeof input === 'string') return `, not ${JSON.stringify(input)}`;
  if (typeof input === 'number' || typeof input === 'boolean') return `, not ${input}`;
  if (input === null) return ', and there is nothing';
  return Array.isArray(input) ? ', not a list' : '';
}

/** The settings that the group of an unknown one has. */
function siblings(schema: v.GenericSchema, issue: Issue): string[] {
  // Valibot's types know each schema exactly, and nothing of schemas in general.
  let group = schema as unknown as Settings;
  for (const { key } of (issue.path ?? []).slice(0, -1)) {
    group = unwrap(group).entries?.[String(key)] ?? {};
  }
  return Object.keys(unwrap(group).entries ?? {});
}

function unwrap(settings: Settings): Settings {
  return settings.wrapped === undefined ? settings : unwrap(settings.wrapped);
}
