"""Definitions of technical terms, shown as tooltips on table headings and row headings."""

TERMS = {
    "AUC": "Area under the ROC curve: the probability that a random pneumonia image scores higher than a random normal "
    "one.",
    "Average precision": "Area under the precision-recall curve: the mean precision over all recall levels.",
    "Recall (sensitivity)": "Of the images labelled pneumonia, the share that the model calls pneumonia.",
    "Specificity": "Of the images labelled normal, the share that the model calls normal.",
    "Reader's recall (sensitivity)": "Of the images labelled pneumonia, the share that the reader called pneumonia; "
    "uncertain and unreadable verdicts are excluded.",
    "Reader's specificity": "Of the images labelled normal, the share that the reader called normal; uncertain and "
    "unreadable verdicts are excluded.",
    "Precision (PPV)": "Of the images that the model calls pneumonia, the share labelled pneumonia.",
    "Negative predictive value": "Of the images that the model calls normal, the share labelled normal.",
    "Accuracy": "Share of images whose call matches the label; it depends on the prevalence of pneumonia.",
    "F1": "Harmonic mean of precision and recall.",
    "Brier score": "Mean squared difference between probability and label; 0 is perfect.",
    "Calibration error (ECE)": "Expected calibration error: the gap between predicted probability and observed share "
    "of pneumonia, averaged over bins.",
    "ECE expected by chance": "The ECE that perfectly calibrated probabilities would show on this many images, with "
    "its range. A measured ECE below the upper end is no evidence of miscalibration.",
    "Calibration intercept": "Overall bias of the probabilities in log odds: 0 is best; below 0 they are too high. "
    "Undefined if a probability is exactly 0 or 1.",
    "Calibration slope": "Slope of the observed log odds against the predicted ones: 1 is best; below 1 the "
    "probabilities are too extreme, above 1 not extreme enough. Undefined if a probability is exactly 0 or 1.",
    "AURC": "Area under the risk-coverage curve: the error rate among the images called, averaged over all coverages; "
    "0 is perfect, and a random order gives the overall error rate.",
    "Excess AURC": "AURC minus that of the best order, which refers all errors first: 0 means that the least certain "
    "calls are the wrong ones.",
    "Coverage": "Share of the images that the classifier calls; the least certain others are referred.",
    "Referred": "Images closest to the threshold on the log-odds scale, left to a radiologist.",
    "P@1": "Share of queries whose nearest hit has the query's label; the query itself is excluded.",
    "P@3": "Mean share of the 3 nearest hits that have the query's label.",
    "P@5": "Mean share of the 5 nearest hits that have the query's label.",
    "P@10": "Mean share of the 10 nearest hits that have the query's label.",
    "Mean average precision": "Mean over queries of the average precision: the precision at each hit that has the "
    "query's label.",
    "R-precision": "Precision of the first R hits, where R is the number of images with the query's label.",
    "Chance P@k": "Expected P@k of randomly drawn hits: the prevalence of the query's label.",
    "P@1, from train": "P@1 of test images when hits come from the training images.",
    "P@10, from train": "P@10 of test images when hits come from the training images.",
    "Text search P@10": "Mean share of the 10 hits that match the text, over 40 written queries.",
    "Neighbour-vote AUC": "AUC when the score is the share of pneumonia among the 10 nearest labelled images, which "
    "are other test images unless stated otherwise.",
    "Stance": "Share of reports whose stance on pneumonia matches the label.",
    "Keywords": "Keyword alignment: of the keywords in a report, the share that fit the label; ignores negation.",
    "Stance agreement": "Share of reports whose stance on pneumonia matches the label.",
    "Kappa of stance vs label": "Agreement beyond chance (Cohen's kappa): 0 is chance, 1 is perfect.",
    "Cohen's kappa": "Agreement of two readers beyond chance: 0 is chance, 1 is perfect.",
    "Keyword alignment": "The original tool's score: of the keywords in a report, the share that fit the label; "
    "ignores negation.",
    "Unsupported claims": "Pneumonia or a sign of it claimed for an image labelled normal, findings that the reference "
    "report lacks, and measurements, prior studies or history that the report's author was not given.",
    "Laterality": "Share of the sides named in reports that match the side of the heatmap.",
    "BLEU": "Overlap of word n-grams with a reference report (Papineni et al. 2002).",
    "ROUGE-L": "Longest common word sequence with a reference report (Lin 2004).",
    "chrF": "Overlap of character n-grams with a reference report (Popovic 2015).",
    "Outcome": "TP, FP, TN, FN: the call is true (T) or false (F) by the label, and is pneumonia (P) or normal (N).",
    "Heat in the outer frame": "Share of the heatmap in a border 10 % wide on each side (36 % of the area), which "
    "includes parts of the lungs. A uniform heatmap has 36.0 % there; less does not rule out bias.",
    "Deletion gain": "How much faster the probability falls when the pixels with most heat are deleted first than when "
    "pixels are deleted in random order: area between the two curves, above 0 if the heatmap is faithful.",
    "Insertion gain": "The same when pixels are inserted into a blurred copy of the image: above 0 if the heatmap is "
    "faithful.",
    "Calls changed": "Images called differently, at the run's threshold, when they are altered.",
    "Stresses that change the call": "How many of the audit's alterations of the image, such as blur, noise or a "
    "rotation, change its call at the run's threshold.",
    "Heat by zone": "Share of the heatmap (Grad-CAM) in each sixth of the image. The zones are halves and thirds of "
    "the image, not lung outlines, so mediastinum and background count. A uniform heatmap has 16.7 % in each.",
}
"""Text of a column heading or row heading -> its definition."""


def meaning(text: str) -> str:
    """Definition of a term; empty if it is not in the glossary."""
    return TERMS.get(text, "")
