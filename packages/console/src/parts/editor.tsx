import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  type LanguageSupport,
  syntaxHighlighting,
} from '@codemirror/language'
import { Compartment, EditorState, type Text } from '@codemirror/state'
import { Decoration, drawSelection, EditorView, keymap, lineNumbers } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { useEffect, useRef } from 'react'
import { styleNonce } from '../app/page-settings.ts'
import type { TextLanguage } from './schema.ts'

export interface EditorProps {
  /** What it is called for whoever does not see it. */
  readonly label: string
  /** What it begins with; from then on it has its own. */
  readonly text: string
  readonly change: (text: string) => void
  readonly language: TextLanguage
  /** Lines that are there at least. */
  readonly rows: number
  readonly invalid: boolean
  /** Lines in which something is wrong, until the text is changed. */
  readonly marks?: readonly number[]
  /** A line to go to; another object goes there again. */
  readonly at?: { readonly line: number } | null
}

/** Each language is a file of its own, loaded when it is asked for. */
const load: Readonly<Record<TextLanguage, () => Promise<LanguageSupport>>> = {
  json: async () => (await import('@codemirror/lang-json')).json(),
  yaml: async () => (await import('@codemirror/lang-yaml')).yaml(),
  python: async () => (await import('@codemirror/lang-python')).python(),
  javascript: async () => (await import('@codemirror/lang-javascript')).javascript(),
  typescript: async () => (await import('@codemirror/lang-javascript')).javascript({ typescript: true }),
}

// The console's own colours, which follow its theme.
const highlighting = syntaxHighlighting(
  HighlightStyle.define([
    { tag: tags.propertyName, color: 'var(--accent)' },
    { tag: [tags.string, tags.special(tags.string)], color: 'var(--good)' },
    { tag: [tags.number, tags.definition(tags.variableName), tags.function(tags.variableName)], color: 'var(--move)' },
    { tag: [tags.bool, tags.null, tags.keyword, tags.operatorKeyword], color: 'var(--wait)' },
    { tag: tags.comment, color: 'var(--ink-2)' },
  ]),
)
const look = EditorView.theme({
  '&': { fontSize: '12.5px', color: 'var(--ink)', backgroundColor: 'transparent' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '20px', maxHeight: 'var(--editor-most, 480px)' },
  '.cm-content': { caretColor: 'var(--ink)', padding: '6px 0' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '.cm-marked': { backgroundColor: 'var(--bad-soft)' },
  '.cm-gutters': { backgroundColor: 'transparent', color: 'var(--ink-2)', border: 'none' },
  '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': {
    backgroundColor: 'var(--move-soft)',
  },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--bg-3)', outline: '1px solid var(--line)' },
})

/**
 * Text of machines that people write: colours, matching brackets, undo. Tab goes on to the next field as everywhere, so nobody is
 * caught in here.
 */
export default function Editor({ label, text, change, language, rows, invalid, marks = NONE, at = null }: EditorProps) {
  const place = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView>(null)
  const said = useRef(change)
  said.current = change
  const begun = useRef({ text, label, invalid })
  const parts = useRef({ language: new Compartment(), attributes: new Compartment(), marks: new Compartment() })

  useEffect(() => {
    if (!place.current) return
    const { text, label, invalid } = begun.current
    const made = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          keymap.of([...defaultKeymap, ...historyKeymap]),
          EditorView.lineWrapping,
          // The page takes styles only with this.
          EditorView.cspNonce.of(styleNonce),
          look,
          highlighting,
          parts.current.language.of([]),
          parts.current.attributes.of(attributes(label, invalid)),
          parts.current.marks.of([]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) said.current(update.state.doc.toString())
          }),
        ],
      }),
    })
    view.current = made
    return () => {
      view.current = null
      made.destroy()
    }
  }, [])

  useEffect(() => {
    let wanted = true
    void load[language]().then((support) => {
      if (wanted) view.current?.dispatch({ effects: parts.current.language.reconfigure(support) })
    })
    return () => {
      wanted = false
    }
  }, [language])

  useEffect(() => {
    view.current?.dispatch({ effects: parts.current.attributes.reconfigure(attributes(label, invalid)) })
  }, [label, invalid])

  useEffect(() => {
    const { current } = view
    current?.dispatch({ effects: parts.current.marks.reconfigure(marked(current.state.doc, marks)) })
  }, [marks])

  useEffect(() => {
    const { current } = view
    if (!current || at === null) return
    const { from } = current.state.doc.line(Math.min(at.line, current.state.doc.lines))
    current.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: 'center' }) })
    current.focus()
  }, [at])

  return (
    <div
      ref={place}
      className={`editor ${invalid ? 'editor-bad' : ''}`}
      // Lines of 20 px and the space around them.
      style={{ '--editor-height': `${rows * 20 + 14}px` } as React.CSSProperties}
    />
  )
}

const NONE: readonly number[] = []
const inMark = Decoration.line({ class: 'cm-marked' })
const marked = (doc: Text, lines: readonly number[]) =>
  EditorView.decorations.of(
    Decoration.set(
      [...new Set(lines)].filter((line) => line <= doc.lines).map((line) => inMark.range(doc.line(line).from)),
      true,
    ),
  )

const attributes = (label: string, invalid: boolean) =>
  EditorView.contentAttributes.of({
    'aria-label': label,
    tabindex: '0',
    ...(invalid ? { 'aria-invalid': 'true' } : {}),
  })
