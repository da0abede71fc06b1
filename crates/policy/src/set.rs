//! A loaded policy set: how it decides, and how it decides again from a record.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;

use cedar_policy as cedar;
use serde_json::{Value, json};

use crate::classes::{CLASSES, ClassOf, ClassSource, ClassTable};
use crate::decision::{Decision, Reason, Refusal, Verdict, reason};
use crate::error::{Finding, PolicyError, shorten};
use crate::files::{PolicyFile, read_directory};
use crate::limits::{ERROR_TEXT_MAX, ERRORS_MAX, TOOL_URI_MAX};
use crate::load::{self, Origin};
use crate::parts::Rule;
use crate::request::{ActionRequest, Slice, Vocabulary, chain};

/// The one file of policies of the set that applies until one is configured.
const BUILT_IN: &str = include_str!("starter/built_in.cedar");

/// Obligations that this release knows how to fulfil. A determining policy with any other denies.
pub(crate) const OBLIGATIONS: [&str; 0] = [];

/// A policy directory after every check: its files, its policies, its class table.
pub struct PolicySet {
    pub(crate) files: Vec<PolicyFile>,
    pub(crate) digest: String,
    pub(crate) policies: Vec<PolicyInfo>,
    pub(crate) warnings: Vec<Finding>,
    pub(crate) classes: ClassTable,
    pub(crate) cedar: cedar::PolicySet,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) authorizer: cedar::Authorizer,
    /// The policies in parts, made when an outlook is first asked for.
    pub(crate) rules: OnceLock<Vec<Rule>>,
}

/// What a policy does when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Allows the act, unless another policy forbids it.
    Permit,
    /// Denies the act, whatever else permits it.
    Forbid,
}

/// One policy of a set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PolicyInfo {
    /// Its `@id`.
    pub id: String,
    /// What it does.
    pub effect: Effect,
    /// The file that holds it.
    pub file: String,
    /// The line where it begins, from 1.
    pub line: u32,
}

/// The policy engine that evaluates.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Engine {
    /// Version of the Cedar library.
    pub sdk: String,
    /// Version of the Cedar language.
    pub lang: String,
}

impl fmt::Debug for PolicySet {
    /// The digest names all there is; syntax trees in a log help nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySet").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl PolicySet {
    /// Loads a policy directory: `*.cedar`, `classes.toml` and `schema.cedarschema`, the last two
    /// optional. Hidden files and `*.md` are passed over; anything else is refused, because a
    /// misspelt file name would take its forbids with it.
    ///
    /// # Errors
    /// [`PolicyError::Read`], or as [`Self::from_new_files`].
    pub fn load(dir: &Path) -> Result<Self, PolicyError> {
        Self::from_new_files(read_directory(dir)?)
    }

    /// As [`Self::from_files`], for files that are to be put in force: a tool or server that is named in a form
    /// that none has is refused too, because the rule would never apply.
    ///
    /// # Errors
    /// As [`Self::from_files`].
    pub fn from_new_files(files: Vec<PolicyFile>) -> Result<Self, PolicyError> {
        load::load(files, Origin::New)
    }

    /// Loads the files of a policy set, in any order. The built-in schema is added when there is
    /// none, so that the digest always pins one. Files of a set that was activated once load again: what
    /// [`Self::from_new_files`] refuses beyond this is among the warnings here.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] with every problem found, [`PolicyError::SelfTest`].
    pub fn from_files(files: Vec<PolicyFile>) -> Result<Self, PolicyError> {
        load::load(files, Origin::Recorded)
    }

    /// The set that applies when none is configured: every act of an agent in the run's scope is allowed, nothing that
    /// a server asks for is, and no tool is classified.
    ///
    /// # Errors
    /// [`PolicyError::SelfTest`], should the engine not work.
    pub fn starter() -> Result<Self, PolicyError> {
        Self::from_files(vec![PolicyFile { path: "starter.cedar".to_owned(), text: BUILT_IN.to_owned() }])
    }

    /// `sha256:` and the SHA-256 of the canonical JSON list of file names and file digests.
    pub fn digest(&self) -> String {
        self.digest.clone()
    }

    /// All files that the digest covers, sorted by name; loading them again gives the same digest.
    pub fn files(&self) -> &[PolicyFile] {
        &self.files
    }

    /// The engine's versions, to be recorded with each decision.
    pub fn engine(&self) -> Engine {
        Engine { sdk: cedar::get_sdk_version().to_string(), lang: cedar::get_lang_version().to_string() }
    }

    /// The policies, sorted by id.
    pub fn policies(&self) -> &[PolicyInfo] {
        &self.policies
    }

    /// What is allowed in a policy set but probably not meant.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// What the class table says about a tool whose definition has this digest.
    pub fn classify(&self, tool: &str, definition: Option<&str>) -> ClassOf {
        self.classes.classify(tool, definition)
    }

    /// Decides one act. Never fails: whatever goes wrong is a deny with a reason.
    pub fn decide(&self, act: &ActionRequest<'_>) -> Decision {
        let class = self.classify(act.tool, act.definition);
        let decided = guard(|| {
            let slice = self.vocabulary.build(act, &class)?;
            let request = slice.to_json()?;
            Ok((self.evaluate(&slice), request))
        });
        match decided {
            Ok((findings, request)) => findings.into_decision(request, class),
            Err(refusal) => {
                let request = json!({
                    "action": shorten(act.operation, TOOL_URI_MAX),
                    "resource": shorten(act.tool, TOOL_URI_MAX),
                    "refused": {
                        "code": refusal.code,
                        "text": refusal.text,
                        "class_source": class.source.as_str(),
                        "classes": class.classes,
                    },
                });
                refused(refusal, request, class)
            }
        }
    }

    /// Decides again from [`Decision::request`]: same verdict, reason, determining policies,
    /// errors, obligations and class as then. A recorded refusal has nothing to evaluate and stays
    /// the deny it was; [`Self::decide`] with the recorded arguments checks it.
    ///
    /// # Errors
    /// [`PolicyError::Replay`] when the record is not such a request, or not one of this schema.
    pub fn replay(&self, recorded: &Value) -> Result<Decision, PolicyError> {
        if recorded.get("refused").is_some() {
            return read_refused(recorded);
        }
        let evaluated = guard(|| {
            Ok(self.vocabulary.read(recorded).and_then(|slice| {
                let class = self.vocabulary.class_of(&slice)?;
                Ok((self.evaluate(&slice), class))
            }))
        });
        match evaluated {
            Ok(Ok((findings, class))) => Ok(findings.into_decision(recorded.clone(), class)),
            Ok(Err(error)) => Err(error),
            Err(refusal) => Err(PolicyError::Replay(refusal.text)),
        }
    }

    /// Asks the engine and gathers what it says, without judging it yet.
    fn evaluate(&self, slice: &Slice) -> Findings {
        let response = self.authorizer.is_authorized(&slice.request, &self.cedar, &slice.entities);
        let mut determining: Vec<String> =
            response.diagnostics().reason().map(|id| AsRef::<str>::as_ref(id).to_owned()).collect();
        determining.sort_unstable();
        let mut errors: Vec<String> = response.diagnostics().errors().map(|error| chain(error)).collect();
        errors.sort_unstable();
        errors.truncate(ERRORS_MAX);
        let mut obligations: Vec<String> = response
            .diagnostics()
            .reason()
            .filter_map(|id| self.cedar.annotation(id, "obligation"))
            .flat_map(split_obligations)
            .map(str::to_owned)
            .collect();
        obligations.sort_unstable();
        obligations.dedup();
        Findings {
            allowed: response.decision() == cedar::Decision::Allow,
            determining,
            errors,
            obligations,
            act: describe(slice),
        }
    }
}

/// One comma-separated annotation value; Cedar has no repeated annotations.
pub(crate) fn split_obligations(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim)
}

/// What the engine said about one act.
struct Findings {
    allowed: bool,
    determining: Vec<String>,
    errors: Vec<String>,
    obligations: Vec<String>,
    /// For texts: "`tools/call` on `stdio:fs#read`".
    act: String,
}

impl Findings {
    fn into_decision(self, request: Value, class: ClassOf) -> Decision {
        let reason = self.reason(&class);
        Decision {
            verdict: if reason.is_none() { Verdict::Allow } else { Verdict::Deny },
            reason,
            determining: self.determining,
            errors: self.errors,
            obligations: self.obligations,
            request,
            class,
        }
    }

    /// Why not. An error comes first: the engine skips an erroring policy, so with one even its
    /// allow may be the work of a forbid that could not speak.
    fn reason(&self, class: &ClassOf) -> Option<Reason> {
        let because = |code, text| Some(Reason { code, text });
        if let Some(first) = self.errors.first() {
            return because(reason::POLICY_ERROR, format!("a policy could not be evaluated: {first}"));
        }
        if !self.allowed && self.determining.is_empty() {
            // What the class table says of it is mostly why.
            let classes = if class.classified { class.classes.join(", ") } else { String::new() };
            let classed = if classes.is_empty() { classes } else { format!(", classed as {classes}") };
            return because(reason::NOT_PERMITTED, format!("no policy permits {}{classed}", self.act));
        }
        if !self.allowed {
            let policies = self.determining.join("`, `");
            return because(reason::FORBIDDEN, format!("{} is forbidden by policy `{policies}`", self.act));
        }
        let unknown = self.obligations.iter().find(|name| !OBLIGATIONS.contains(&name.as_str()))?;
        let unknown = shorten(unknown, 120);
        let text = format!("the permit for {} demands `{unknown}`, which is not known here", self.act);
        because(reason::UNKNOWN_OBLIGATION, text)
    }
}

fn describe(slice: &Slice) -> String {
    let id = |uid: Option<&cedar::EntityUid>| uid.map_or("", |uid| uid.id().unescaped()).to_owned();
    let (action, resource) = (id(slice.request.action()), id(slice.request.resource()));
    format!("`{}` on `{}`", shorten(&action, 120), shorten(&resource, 200))
}

/// A deny that no policy was asked about.
fn refused(refusal: Refusal, request: Value, class: ClassOf) -> Decision {
    Decision {
        verdict: Verdict::Deny,
        reason: Some(Reason { code: refusal.code, text: refusal.text }),
        determining: Vec::new(),
        errors: Vec::new(),
        obligations: Vec::new(),
        request,
        class,
    }
}

/// Reads what [`PolicySet::decide`] records of a refusal.
fn read_refused(recorded: &Value) -> Result<Decision, PolicyError> {
    let unreadable = || PolicyError::Replay("it is not a refusal as they are recorded".to_owned());
    let text = |pointer: &str| recorded.pointer(pointer).and_then(Value::as_str).ok_or_else(unreadable);
    let code = text("/refused/code")?;
    let code = reason::ALL.into_iter().find(|known| *known == code).ok_or_else(unreadable)?;
    let source = ClassSource::parse(text("/refused/class_source")?).ok_or_else(unreadable)?;
    let recorded_classes = recorded.pointer("/refused/classes").and_then(Value::as_array);
    let recorded_classes = recorded_classes.ok_or_else(unreadable)?;
    let within = |class: &&str| recorded_classes.iter().any(|recorded| recorded == *class);
    let classes = CLASSES.into_iter().filter(within).map(str::to_owned).collect();
    let refusal = Refusal::new(code, text("/refused/text")?);
    Ok(refused(refusal, recorded.clone(), ClassOf::new(classes, source)))
}

/// Runs the engine so that a bug in it denies one act instead of ending the server.
pub(crate) fn guard<T>(run: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let text = format!("the policy engine failed: {}", shorten(said, ERROR_TEXT_MAX));
        Err(Refusal::new(reason::POLICY_ERROR, text))
    })
}

#[cfg(test)]
#[path = "set/tests.rs"]
mod tests;
