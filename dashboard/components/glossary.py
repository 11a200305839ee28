"""What the field's words mean, for those to whom one is not common: shown where a table's head names it."""

TERMS = {
    "AUC": "Area under the ROC curve: the chance that a pneumonia gets a higher probability than a normal.",
    "Average precision": "Area under the precision-recall curve: the mean precision over all recalls.",
    "Recall (sensitivity)": "Of the films labelled pneumonia, the share that the model calls pneumonia.",
    "Specificity": "Of the films labelled normal, the share that the model calls normal.",
    "Reader's recall (sensitivity)": "Of the films labelled pneumonia on which the reader decided, the share called "
    "pneumonia.",
    "Reader's specificity": "Of the films labelled normal on which the reader decided, the share called normal.",
    "Precision (PPV)": "Of the films that the model calls pneumonia, the share that is labelled so.",
    "Negative predictive value": "Of the films that the model calls normal, the share that is labelled so.",
    "Accuracy": "The share of films whose call agrees with the label; it depends on how common pneumonia is.",
    "F1": "Harmonic mean of precision and recall.",
    "Brier score": "Mean squared distance between probability and label; 0 is perfect.",
    "Calibration error (ECE)": "How far probabilities are from the observed share of pneumonia, on average over bins.",
    "ECE by chance alone": "The calibration error that exactly right probabilities would have among so many films, and "
    "its range: an error below the upper end shows no miscalibration.",
    "Calibration intercept": "How much too low the probabilities are on the whole, in log odds: 0 is best, below 0 "
    "they are too high.",
    "Calibration slope": "How far log odds go with the probability's: 1 is best; below 1 probabilities are too "
    "extreme, above 1 not extreme enough.",
    "AURC": "Area under the risk-coverage curve: the share of wrong calls among the images called, averaged over all "
    "coverages; 0 is perfect, and in random order it is the error rate.",
    "Excess AURC": "AURC less that of the best order, in which all errors would be referred first: 0 means that the "
    "least certain calls are the wrong ones.",
    "Coverage": "Share of the images that the classifier still calls; the least certain others are referred.",
    "Referred": "Images nearest to the threshold on the log-odds scale, which a radiologist would read instead.",
    "P@1": "Share of queries whose nearest hit carries the query's label, the query itself left out.",
    "P@3": "Mean share of the 3 nearest hits that carry the query's label.",
    "P@5": "Mean share of the 5 nearest hits that carry the query's label.",
    "P@10": "Mean share of the 10 nearest hits that carry the query's label.",
    "Mean average precision": "Mean over queries of the precision at every hit that carries the query's label.",
    "R-precision": "Precision among as many hits as the query's label has images.",
    "AUC of the vote": "AUC where the share of pneumonia among the 10 nearest labelled films, other test films unless "
    "said otherwise, stands for a probability.",
    "By chance": "Expected P@k of hits drawn at random: how common the query's label is.",
    "From train, P@1": "P@1 of test images whose hits come from the training images.",
    "From train, P@10": "P@10 of test images whose hits come from the training images.",
    "By words, P@10": "Of 40 written queries, the mean share of the 10 hits that show what the words ask for.",
    "AUC of the neighbours' vote": "AUC where the share of pneumonia among the 10 nearest labelled films, other test "
    "films unless said otherwise, stands for a probability.",
    "Stance": "Share of reports that say of pneumonia what the label says.",
    "Keywords": "Keyword alignment: of the keywords in a report, the share that suit the label; blind to negation.",
    "Stance agreement": "Share of reports that say of pneumonia what the label says.",
    "Kappa of stance against label": "Agreement beyond chance: 0 is chance, 1 is perfect (Cohen).",
    "Cohen's kappa": "Agreement of two readers beyond what their habits alone would give: 0 is chance, 1 is perfect.",
    "Keyword alignment": "The original tool's score: of the keywords in a report, the share that suit the label; blind "
    "to negation.",
    "Unsupported claims": "Pneumonia or a sign of it claimed of a film labelled normal, a finding that the reference "
    "report lacks, and measurements, earlier studies or history that nobody showed the writer.",
    "Laterality": "Share of reported sides that agree with where the heatmap lies.",
    "BLEU": "Overlap of word sequences with a reference report (Papineni et al. 2002).",
    "ROUGE-L": "Longest common sequence of words with a reference report (Lin 2004).",
    "chrF": "Overlap of character sequences with a reference report (Popovic 2015).",
    "Outcome": "TP, FP, TN, FN: call and label agree (T) or not (F), and the call is pneumonia (P) or normal (N).",
    "Heat in the outer frame": "Share of the heatmap in the outer tenth of the film on each side, where little lung "
    "is. Even heat gives it 36.0 %, so less is no lean towards the frame.",
    "Deletion gain": "How much sooner the probability falls when the pixels with most heat go first than when they go "
    "in random order: area between the curves, above 0 where the heatmap is faithful.",
    "Insertion gain": "The same while pixels are put into a blurred copy: above 0 where the heatmap is faithful.",
    "Heat by zone": "Share of the heatmap (Grad-CAM) in each sixth of the film: its halves and thirds, not the lungs' "
    "outlines, so mediastinum and air count. Even heat gives each 16.7 %.",
}
"""Head of a column or first cell of a row -> what it means."""


def meaning(text: str) -> str:
    """What a term means, or nothing where it is not in the glossary."""
    return TERMS.get(text, "")
