import { Button, Input, NumberInput, Select, Textarea, TextInput } from '@mantine/core'
import { alteredNumber } from '@writ/api/exact-numbers'
import { lazy, type ReactNode, Suspense, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { patient } from '../app/patient.ts'
import type { EditorProps } from './editor.tsx'
import { Icon } from './icons.tsx'
import { PasswordField } from './password-field.tsx'
import { blankOf, descriptionOf, parsedOf, type Schema, shapeOf, Unparsed } from './schema.ts'

const Editor = lazy(() => patient(() => import('./editor.tsx')))

interface FieldProps {
  readonly schema: Schema
  readonly label: string
  /** Below the input: `urls.0`. */
  readonly path: string
  readonly required: boolean
  /** undefined is left out. */
  readonly value: unknown
  readonly change: (value: unknown) => void
  readonly faults: ReadonlyMap<string, string>
}

/** A field, or a group of fields, for what a JSON Schema asks for. What a form cannot ask for is written as JSON. */
function SchemaField(props: FieldProps) {
  const { schema, label, path, required, value, change, faults } = props
  const { t } = useTranslation()
  const shape = shapeOf(schema)
  const error = faults.get(path)
  const common = {
    label: (
      <>
        {label}
        {!required && <span className="dimmed small"> · {t('dispatch.optional')}</span>}
      </>
    ),
    description: descriptionOf(schema),
    error,
    required,
    withAsterisk: false,
    'aria-label': label,
  }
  const text = typeof value === 'string' ? value : ''
  const take = (next: string) => change(next === '' && !required ? undefined : next)
  switch (shape.kind) {
    case 'text':
      if (shape.secret)
        return (
          <PasswordField
            {...common}
            value={text}
            onChange={(event) => take(event.currentTarget.value)}
            autoComplete="off"
          />
        )
      if (shape.language)
        return (
          <EditorField
            label={label}
            title={common.label}
            description={common.description}
            error={error}
            text={text}
            change={take}
            rows={6}
            language={shape.language}
          />
        )
      return shape.long ? (
        <Textarea {...common} value={text} onChange={(event) => take(event.currentTarget.value)} autosize minRows={1} />
      ) : (
        <TextInput {...common} value={text} onChange={(event) => take(event.currentTarget.value)} />
      )
    case 'number':
      return (
        <NumberInput
          {...common}
          value={typeof value === 'number' ? value : ''}
          onChange={(next) => change(next === '' ? undefined : Number(next))}
          allowDecimal={!shape.whole}
          {...(shape.min === undefined ? {} : { min: shape.min })}
          {...(shape.max === undefined ? {} : { max: shape.max })}
          hideControls
        />
      )
    case 'flag':
      return (
        <Select
          {...common}
          data={[
            { value: 'true', label: t('dispatch.yes') },
            { value: 'false', label: t('dispatch.no') },
          ]}
          value={typeof value === 'boolean' ? String(value) : null}
          onChange={(next) => change(next === null ? undefined : next === 'true')}
          clearable={!required}
        />
      )
    case 'choice':
      return (
        <Select
          {...common}
          data={shape.values.map(String)}
          value={value === undefined || value === null ? null : String(value)}
          onChange={(next) => change(shape.values.find((one) => String(one) === next))}
          clearable={!required}
        />
      )
    case 'list':
      return <ListField {...props} of={shape.of} />
    case 'fields': {
      const fields = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
      const inner = shape.fields.map((field) => (
        <SchemaField
          key={field.name}
          schema={field.schema}
          label={field.name}
          path={path === '' ? field.name : `${path}.${field.name}`}
          required={field.required}
          value={fields[field.name]}
          change={(next) => {
            const { [field.name]: _, ...rest } = fields
            const changed = next === undefined ? rest : { ...rest, [field.name]: next }
            change(Object.keys(changed).length === 0 && !required ? undefined : changed)
          }}
          faults={faults}
        />
      ))
      if (path === '')
        return (
          <div className="fields">
            {error && <p className="refusal">{error}</p>}
            {inner}
          </div>
        )
      return (
        <Group label={label} schema={schema} required={required} error={error}>
          {inner}
        </Group>
      )
    }
    default:
      return <JsonField {...props} />
  }
}

function Group(props: {
  label: string
  schema: Schema
  required: boolean
  error: string | undefined
  children: ReactNode
}) {
  const { label, schema, required, error, children } = props
  const { t } = useTranslation()
  return (
    <fieldset className="group">
      <legend>
        {label}
        {!required && <span className="dimmed small"> · {t('dispatch.optional')}</span>}
      </legend>
      <div className="group-in">
        {descriptionOf(schema) && <p className="dimmed small">{descriptionOf(schema)}</p>}
        {error && <p className="refusal">{error}</p>}
        {children}
      </div>
    </fieldset>
  )
}

function ListField(props: FieldProps & { of: Schema }) {
  const { label, path, required, value, change, faults, of, schema } = props
  const { t } = useTranslation()
  const items = Array.isArray(value) ? (value as unknown[]) : []
  const set = (next: unknown[]) => change(next.length === 0 && !required ? undefined : next)
  return (
    <Group label={label} schema={schema} required={required} error={faults.get(path)}>
      {items.map((item, i) => {
        const name = `${label} ${t('dispatch.item', { number: i + 1 })}`
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: items are their places, and each shows the value that it is given
          <div key={i} className="item">
            <SchemaField
              schema={of}
              label={name}
              path={`${path}.${i}`}
              required
              value={item}
              change={(next) => set(items.map((one, at) => (at === i ? (next ?? null) : one)))}
              faults={faults}
            />
            <Button
              variant="subtle"
              color="gray"
              aria-label={t('dispatch.remove', { name })}
              onClick={() => set(items.filter((_, at) => at !== i))}
            >
              <Icon name="cross" size={14} />
            </Button>
          </div>
        )
      })}
      <div>
        <Button
          variant="default"
          aria-label={`${t('dispatch.add')}${t('error.colon')}${label}`}
          leftSection={<Icon name="plus" size={13} />}
          onClick={() => set([...items, blankOf(of, true) ?? ''])}
        >
          {t('dispatch.add')}
        </Button>
      </div>
    </Group>
  )
}

/** The whole input of a handler: its form, or JSON where it has no schema or none is wanted. */
export function InputField({
  schema,
  rows,
  ...field
}: Omit<FieldProps, 'schema' | 'path' | 'required'> & { schema: Schema | null; rows: number }) {
  return schema === null ? (
    <JsonField {...field} path="" required={false} rows={rows} />
  ) : (
    <SchemaField {...field} schema={schema} path="" required />
  )
}

/** Text that is JSON, or says that it is none yet. Left empty it is left out. */
function JsonField(props: Omit<FieldProps, 'schema'> & { schema?: Schema; rows?: number }) {
  const { label, path, required, value, change, faults, schema = {}, rows = 2 } = props
  const { t } = useTranslation()
  const [text, setText] = useState(() =>
    value === undefined || value === '' ? '' : value instanceof Unparsed ? value.text : JSON.stringify(value, null, 2),
  )
  const unparsed = value instanceof Unparsed
  return (
    <EditorField
      label={label}
      title={
        <>
          {label}
          {!required && <span className="dimmed small"> · {t('dispatch.optional')}</span>}
        </>
      }
      description={descriptionOf(schema) ?? t('dispatch.anyJson')}
      error={unparsed ? t(alteredNumber(value.text) ? 'dispatch.longNumber' : 'dispatch.badJson') : faults.get(path)}
      language="json"
      rows={rows}
      text={text}
      change={(next) => {
        setText(next)
        if (next.trim() === '') return change(undefined)
        change(parsedOf(next))
      }}
    />
  )
}

function EditorField(
  props: Omit<EditorProps, 'invalid'> & {
    title: ReactNode
    description: string | undefined
    error: string | undefined
  },
) {
  const { title, description, error, ...editor } = props
  return (
    <Input.Wrapper label={title} labelElement="div" description={description} error={error}>
      <Suspense fallback={<div className="editor" />}>
        <Editor {...editor} invalid={error !== undefined} />
      </Suspense>
    </Input.Wrapper>
  )
}
