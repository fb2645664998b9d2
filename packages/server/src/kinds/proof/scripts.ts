// The proof scripts that are built in. Each is a rule set with one rule; its parameters come from `execution_context.params`.
// Ids, names and versions are those of the documented system.
import { type Examined, examineRuleSet, type RuleSet } from './rule-set.ts'

export interface ScriptSpec {
  /** The id under which runs ask for it, such as `proof.file_hash`. */
  readonly id: string
  readonly name: string
  readonly description: string
  readonly version: string
  readonly type: 'proof'
  /** The validator that does the work, such as `file_hash@1`. */
  readonly validator: string
  readonly requiresApproval: false
}

function script(id: string, name: string, validator: string, description: string): ScriptSpec {
  return { id, name, description, version: '1.0.0', type: 'proof', validator, requiresApproval: false }
}

const scripts: readonly ScriptSpec[] = [
  script(
    'proof.file_hash',
    'File Hash Validator',
    'file_hash@1',
    'SHA-256 of each file equals the expected one, where one was given.',
  ),
  script(
    'proof.config_format',
    'Config Format Validator',
    'config_format@4',
    'Each file parses as the configuration format it claims.',
  ),
  script(
    'proof.fields',
    'Fields Validator',
    'fields@5',
    'Required fields, lines and blocks are there; forbidden ones are not.',
  ),
  script(
    'proof.json_schema',
    'JSON Schema Validator',
    'json_schema@3',
    'The data of each file satisfies a JSON Schema (draft 2020-12, 2019-09 or 07).',
  ),
  script('proof.size', 'Size Validator', 'size@1', 'The size of each file lies within bounds.'),
  script('proof.image', 'Image Validator', 'image@1', 'Each file is a picture that decodes fully and is not blank.'),
  script(
    'proof.config_diff',
    'Config Diff Validator',
    'config_diff@4',
    'What changed between the files before and after is what should have.',
  ),
]

/** All built-in proof scripts, in a fixed order. */
export function listScripts(): readonly ScriptSpec[] {
  return scripts
}

/** The script with this id, or undefined. */
export function findScript(id: string): ScriptSpec | undefined {
  return scripts.find((spec) => spec.id === id)
}

/**
 * The rule set that a script stands for, with `context.params` as parameters. Problems are values with paths from the context's root,
 * such as `/params/blocks/0/block`; `proof.fields` and `proof.json_schema` need parameters to have anything to check.
 */
export function scriptRuleSet(spec: ScriptSpec, context: Readonly<Record<string, unknown>> | null): Examined {
  const params = context?.params ?? {}
  const examined = examineRuleSet({
    name: spec.id,
    version: spec.version,
    rules: [{ validator: spec.validator, params }],
  })
  if (examined.ok) return examined
  return {
    ok: false,
    problems: examined.problems.map((problem) => ({ ...problem, path: problem.path.replace(/^\/rules\/0/, '') })),
  }
}

/** The rule set of a run without a script: the stored bytes are compared with their recorded hash, and nothing else. */
export const defaultRuleSet: RuleSet = { name: 'default', version: '1.0.0', rules: [] }
