// SPDX-License-Identifier: BSD-3-Clause

//! The durability campaigns of volumes: `volume_campaign --campaign random --seeds 0..10000`, or one seed with all its
//! events: `volume_campaign --campaign random --seed 7 --trace`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tests::seeds::arguments::{number, Common, HELP};
use tests::seeds::runner::{exit_code, Outcome, Program};
use tests::volume_sim::campaign::{run_seed, Campaign, Options, Totals};

const USAGE: &str = "usage: volume_campaign --campaign NAME --seeds FIRST..END [--threads N]
       volume_campaign --campaign NAME --seed N [--trace]

  --campaign NAME      which one, see below; all of them in turn when it is not given";

const OWN_HELP: &str = "  --stride N           cut or fail scripts at one in N operations
  --trace-life N       print every event of one life of a script's seed, as named by its failure";

struct Arguments {
    campaigns: Vec<Campaign>,
    common: Common,
    options: Options,
}

fn parse() -> Result<Arguments, String> {
    let options = Options { trace: false, trace_life: None, stride: 1 };
    let mut arguments = Arguments { campaigns: Campaign::ALL.to_vec(), common: Common::default(), options };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if arguments.common.take(&word, &mut words)? {
            continue;
        }
        match word.as_str() {
            "--campaign" => {
                let name = words.next().ok_or("--campaign needs a name")?;
                let known = Campaign::ALL.into_iter().find(|campaign| campaign.name() == name);
                arguments.campaigns = vec![known.ok_or(format!("no campaign is called '{name}'"))?];
            }
            "--trace-life" => arguments.options.trace_life = Some(number(&mut words, &word)?),
            "--stride" => arguments.options.stride = number(&mut words, &word)?.max(1),
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    arguments.common.check()?;
    arguments.options.trace = arguments.common.trace;
    Ok(arguments)
}

fn print_totals(campaign: Campaign, outcome: &Outcome<Totals>) {
    let Totals { lives, cuts, kills, points, recoveries, rebuilds, checks, operations, faults, requests, time } =
        &outcome.totals;
    let took = outcome.took.as_secs_f64();
    println!("campaign {}: {}", campaign.name(), campaign.purpose());
    println!("  seeds        {} in {took:.1} s", outcome.seeds);
    println!("  lives        {lives}: {cuts} ended by a power cut, {kills} by a kill; {points} points of scripts");
    println!("  loads        {recoveries} with recovery, {rebuilds} with a rebuild");
    println!("  checks       {checks} of saved volumes, all clean");
    println!("  operations   {operations} of disks, {faults} of which were made to fail");
    println!("  requests     {requests}, {:.0} a second", *requests as f64 / took);
    println!("  time         {:.1} s simulated", *time as f64 / 1e9);
    outcome.print_failures("  ");
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("{what}\n{USAGE}\n{HELP}\n{OWN_HELP}\n\ncampaigns:");
            for campaign in Campaign::ALL {
                eprintln!("  {:<20} {}", campaign.name(), campaign.purpose());
            }
            return ExitCode::from(2);
        }
    };
    let mut good = true;
    for campaign in arguments.campaigns {
        let program = Program { name: "volume_campaign", campaign: Some(campaign.name()) };
        let outcome = program.run(&arguments.common, |seed| run_seed(campaign, seed, arguments.options));
        print_totals(campaign, &outcome);
        good &= outcome.failed.is_empty();
    }
    exit_code(good)
}
