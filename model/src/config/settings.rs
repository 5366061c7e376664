//! The options of a training as text: a name and a value a line. Owns the names, which checkpoints hold and the
//! command's flags share; knows nothing of what the options mean.

use hedgerow_walker::WalkOptions;

use crate::config::options::{Conv, Ids, Loss, Pooling, Positives, TrainOptions};

/// A choice and its name, both ways.
macro_rules! named {
    ($of:ident, $from:ident, $type:ident { $($value:ident = $name:literal),+ $(,)? }) => {
        fn $of(value: $type) -> String {
            match value { $($type::$value => $name.to_owned()),+ }
        }

        fn $from(name: &str) -> Option<$type> {
            match name { $($name => Some($type::$value),)+ _ => None }
        }
    };
}

named!(conv_name, conv, Conv { Light = "light", PinSage = "pinsage" });
named!(ids_name, ids, Ids { Auto = "auto", On = "on", Off = "off" });
named!(loss_name, loss, Loss { Margin = "margin", Softmax = "softmax" });
named!(pooling_name, pooling, Pooling { Importance = "importance", Mean = "mean", Max = "max" });
named!(positives_name, positives, Positives { Edges = "edges", Walks = "walks" });

impl TrainOptions {
    /// Every option that decides what a training gives, by name, as text; one line for each target. So not the number of
    /// threads. The names are those of the command's flags, with underlines.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        // Named one by one, so that an option that is added later cannot be forgotten here.
        let Self {
            targets,
            dim,
            layers,
            conv,
            walks,
            ids,
            popularity,
            damping,
            epochs,
            pairs_per_epoch,
            batch,
            negatives,
            hard_negatives,
            hard_ranks,
            positives,
            history,
            loss,
            margin,
            temperature,
            learning_rate,
            decay,
            held_out,
            patience,
            seed,
            threads: _,
            negative_power,
            pooling,
            degree_input,
            warm,
        } = self;
        let mut lines: Vec<_> = targets.iter().map(|target| ("target", target.clone())).collect();
        let mut line = |name, value: &dyn ToString| lines.push((name, value.to_string()));
        line("dim", dim);
        line("layers", layers);
        line("conv", &conv_name(*conv));
        line("walks", &walks.walks);
        line("visits", &walks.visits);
        line("stop", &walks.stop);
        line("top", &walks.top);
        line("min_visits", &walks.min_visits);
        line("walk_seed", &walks.seed);
        line("ids", &ids_name(*ids));
        line("popularity", popularity);
        line("damping", damping);
        line("epochs", epochs);
        line("pairs_per_epoch", pairs_per_epoch);
        line("batch", batch);
        line("negatives", negatives);
        line("hard_negatives", hard_negatives);
        line("hard_ranks", &format!("{}-{}", hard_ranks.0, hard_ranks.1));
        line("positives", &positives_name(*positives));
        line("history", history);
        line("loss", &loss_name(*loss));
        line("margin", margin);
        line("temperature", temperature);
        line("learning_rate", learning_rate);
        line("decay", decay);
        line("held_out", held_out);
        line("patience", patience);
        line("seed", seed);
        line("negative_power", negative_power);
        line("pooling", &pooling_name(*pooling));
        line("degree_input", degree_input);
        line("warm", warm);
        lines
    }

    /// Sets the option of a line; `None` where it is not understood.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let walks: &mut WalkOptions = &mut self.walks;
        match name {
            "target" => self.targets.push(value.to_owned()),
            "dim" => self.dim = value.parse().ok()?,
            "layers" => self.layers = value.parse().ok()?,
            "conv" => self.conv = conv(value)?,
            "walks" => walks.walks = value.parse().ok()?,
            "visits" => walks.visits = value.parse().ok()?,
            "stop" => walks.stop = value.parse().ok()?,
            "top" => walks.top = value.parse().ok()?,
            "min_visits" => walks.min_visits = value.parse().ok()?,
            "walk_seed" => walks.seed = value.parse().ok()?,
            "ids" => self.ids = ids(value)?,
            "popularity" => self.popularity = value.parse().ok()?,
            "damping" => self.damping = value.parse().ok()?,
            "epochs" => self.epochs = value.parse().ok()?,
            "pairs_per_epoch" => self.pairs_per_epoch = value.parse().ok()?,
            "batch" => self.batch = value.parse().ok()?,
            "negatives" => self.negatives = value.parse().ok()?,
            "hard_negatives" => self.hard_negatives = value.parse().ok()?,
            "hard_ranks" => {
                let (from, to) = value.split_once('-')?;
                self.hard_ranks = (from.parse().ok()?, to.parse().ok()?);
            }
            "positives" => self.positives = positives(value)?,
            "history" => self.history = value.parse().ok()?,
            "loss" => self.loss = loss(value)?,
            "margin" => self.margin = value.parse().ok()?,
            "temperature" => self.temperature = value.parse().ok()?,
            "learning_rate" => self.learning_rate = value.parse().ok()?,
            "decay" => self.decay = value.parse().ok()?,
            "held_out" => self.held_out = value.parse().ok()?,
            "patience" => self.patience = value.parse().ok()?,
            "seed" => self.seed = value.parse().ok()?,
            "negative_power" => self.negative_power = value.parse().ok()?,
            "pooling" => self.pooling = pooling(value)?,
            "degree_input" => self.degree_input = value.parse().ok()?,
            "warm" => self.warm = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_walker::WalkOptions;

    use crate::config::options::{Conv, Ids, Loss, Pooling, Positives, TrainOptions};

    /// No value is the default's, so that a line that is not read back shows.
    fn unusual() -> TrainOptions {
        TrainOptions {
            targets: vec!["pin".into(), "a board".into()],
            dim: 7,
            layers: 3,
            conv: Conv::PinSage,
            walks: WalkOptions { seed: 9, walks: 8, visits: 7, stop: 0.3, top: 6, min_visits: 5 },
            ids: Ids::Off,
            popularity: false,
            damping: false,
            epochs: 99,
            pairs_per_epoch: 98,
            batch: 97,
            negatives: 96,
            hard_negatives: 95,
            hard_ranks: (94, 1093),
            positives: Positives::Walks,
            history: 92,
            loss: Loss::Margin,
            margin: 0.91,
            temperature: 1e-7,
            learning_rate: 0.1 + 0.2,
            decay: 0.88,
            held_out: 87,
            patience: 86,
            seed: u64::MAX,
            threads: 0,
            negative_power: 0.75,
            pooling: Pooling::Max,
            degree_input: true,
            warm: true,
        }
    }

    #[test]
    fn the_lines_hold_every_option() {
        let options = unusual();
        let default: Vec<_> = TrainOptions::default().lines();
        let mut read = TrainOptions::default();
        for (name, value) in options.lines() {
            assert!(
                !default.contains(&(name, value.clone())),
                "{name} is the default, so this shows nothing"
            );
            assert_eq!(read.set(name, &value), Some(()), "{name}");
        }
        assert_eq!(read, options);
        assert_eq!(read.set("no such option", "1"), None);
    }
}
