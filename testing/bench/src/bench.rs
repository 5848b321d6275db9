//! What a benchmark is to the command line: a name, a line about it, its flags, and a function that takes them.

use clap::{ArgMatches, Args, Command, FromArgMatches};

/// One benchmark; [`Bench::of`] makes it.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    flags: fn(Command) -> Command,
    run: fn(&ArgMatches) -> Result<(), String>,
}

/// A benchmark's flags, and what runs with them.
pub(crate) trait Options: Args + FromArgMatches {
    /// Measures and prints.
    fn run(&self) -> Result<(), String>;
}

impl Bench {
    /// The benchmark called `name`, whose flags are `O`.
    pub(crate) const fn of<O: Options>(name: &'static str, about: &'static str) -> Bench {
        let run = |matches: &ArgMatches| O::from_arg_matches(matches).map_err(|error| error.to_string())?.run();
        Bench { name, about, flags: O::augment_args, run }
    }

    /// Its subcommand.
    pub(crate) fn command(&self) -> Command {
        (self.flags)(Command::new(self.name)).about(self.about)
    }

    /// Runs it with the flags that were given.
    pub(crate) fn run(&self, matches: &ArgMatches) -> Result<(), String> {
        (self.run)(matches)
    }

    /// Runs it as if it had been named without a flag.
    pub(crate) fn run_default(&self) -> Result<(), String> {
        let matches = self.command().try_get_matches_from([self.name]).map_err(|error| error.to_string())?;
        (self.run)(&matches)
    }
}
