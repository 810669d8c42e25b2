/** `sluice completion SHELL`: a script that asks `sluice __complete` for words. */
import { Argument, Command } from 'commander';
import { complete } from '../complete.ts';
import { type CliContext, DEFAULT_BPF_ROOT, withMaps } from '../context.ts';
import { EXIT_OK } from '../errors.ts';
import { readNames } from '../views/names.ts';

/** A line each: a word, and behind a tab what it is. */
const BASH = `# bash completion of sluice; try it with: source <(sluice completion bash)
_sluice() {
  local IFS=$'\\n' word
  COMPREPLY=()
  for word in $(sluice __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
    COMPREPLY+=("\${word%%$'\\t'*}")
  done
  [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *= ]] && compopt -o nospace
  return 0
}
complete -o default -F _sluice sluice
`;

const ZSH = `#compdef sluice
# zsh completion of sluice; try it with: source <(sluice completion zsh)
_sluice() {
  local line
  local -a words_found descriptions
  while IFS= read -r line; do
    words_found+=("\${line%%$'\\t'*}")
    descriptions+=("\${line//$'\\t'/  -- }")
  done < <(sluice __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#words_found} == 0 )); then
    _files
  else
    compadd -l -d descriptions -a words_found
  fi
}
if [ "$funcstack[1]" = "_sluice" ]; then
  _sluice "$@"
else
  compdef _sluice sluice
fi
`;

const FISH = `# fish completion of sluice; try it with: sluice completion fish | source
function __sluice_complete
    set -l words (commandline -opc)
    sluice __complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c sluice -a '(__sluice_complete)'
`;

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

export function completionCommand(context: CliContext): Command {
  return new Command('completion')
    .description('print a script that lets the shell complete words of sluice')
    .addArgument(new Argument('<shell>', 'whose script').choices(Object.keys(SCRIPTS)))
    .action(async (shell: string) => {
      await context.out.write(SCRIPTS[shell] ?? '');
      context.exit(EXIT_OK);
    });
}

/** Hidden: for the scripts. Whatever is wrong, there are just no words. */
export function completeCommand(context: CliContext, program: Command): Command {
  return new Command('__complete').argument('[words...]').action(async (words: string[]) => {
    const services = async () => {
      try {
        return await withMaps(context, DEFAULT_BPF_ROOT, async (maps) => {
          const names = [...readNames(maps.servicePorts.entries()).values()];
          return [...new Set(names.map(({ namespace, service }) => `${namespace}/${service}`))].sort();
        });
      } catch {
        return [];
      }
    };
    const found = await complete(program, words, { services });
    await context.out.write(
      found.map(({ word, description }) => `${word}${description && `\t${description}`}\n`).join(''),
    );
    context.exit(EXIT_OK);
  });
}
